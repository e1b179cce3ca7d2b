//! Logging in by password.

use users::{LoginError, NewDevice};

use crate::house::{House, PASSWORD, count_of_tokens, device, password, token};

#[tokio::test]
async fn people_log_in_by_name_or_user_id_in_any_case() {
    let house = House::new();
    house.user("alice").await;

    for name in ["alice", "ALICE", "@alice:example.org", "@Alice:example.org"] {
        let logged_in = house.login(name).await;
        assert_eq!(logged_in.user_id, "@alice:example.org");
        assert!(house.owner(&token(&logged_in.session)).await.is_some());
    }
}

#[tokio::test]
async fn wrong_users_and_wrong_passwords_get_the_same_answer() {
    let house = House::new();
    house.user("alice").await;

    for (name, secret) in [
        ("alice", "wrong"),
        ("bob", PASSWORD),
        ("@alice:other.org", PASSWORD),
        ("not a name!", PASSWORD),
        ("", PASSWORD),
    ] {
        let refused = house
            .users
            .login(name, &password(secret), &NewDevice::default())
            .await;
        assert!(matches!(refused, Err(LoginError::Refused)), "{name}");
    }
}

#[tokio::test]
async fn a_login_with_a_known_device_takes_it_over() {
    let house = House::new();
    let alice = house.user("alice").await;
    let named = NewDevice {
        display_name: Some("Phone".to_owned()),
        ..device("PHONE")
    };
    let first = house.login_with("alice", named).await;
    let renamed = NewDevice {
        display_name: Some("Other".to_owned()),
        ..device("PHONE")
    };

    let second = house.login_with("alice", renamed).await;

    assert!(house.owner(&token(&first.session)).await.is_none());
    assert!(house.owner(&token(&second.session)).await.is_some());
    assert_eq!(house.device_ids(alice.number).await.len(), 2);
    let db = house.snapshot().await;
    let phone = devices::get(&db, alice.number, "PHONE")
        .await
        .expect("it reads");
    assert_eq!(
        phone.expect("there").device.display_name.as_deref(),
        Some("Phone")
    );
    assert_eq!(count_of_tokens(&db).await, (2, 0, 2));
}

#[tokio::test]
async fn two_users_may_have_devices_of_one_name() {
    let house = House::new();
    house.user("alice").await;
    house.user("bob").await;
    let alice = house.login_with("alice", device("PHONE")).await;
    let bob = house.login_with("bob", device("PHONE")).await;

    assert!(house.owner(&token(&alice.session)).await.is_some());
    assert!(house.owner(&token(&bob.session)).await.is_some());
}

#[tokio::test]
async fn absurd_device_ids_are_refused() {
    let house = House::new();
    house.user("alice").await;

    for id in [String::new(), "x".repeat(256)] {
        let refused = house
            .users
            .login("alice", &password(PASSWORD), &device(&id))
            .await;
        assert!(matches!(refused, Err(LoginError::DeviceId)));
    }
}

#[tokio::test]
async fn tokens_and_passwords_are_never_printed() {
    let house = House::new();
    let alice = house.user("alice").await;

    let printed = format!("{:?}", alice.session);
    assert!(!printed.contains(&alice.token()));
    let secret = password("hush");
    assert!(!format!("{secret:?}").contains("hush"));
}
