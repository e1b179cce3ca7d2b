//! Changing passwords.

use users::{LoginError, Logout, NewDevice};

use crate::house::{House, PASSWORD, password, token};

const NEW: &str = "a new password";

#[tokio::test]
async fn the_new_password_opens_and_the_old_one_does_not() {
    let house = House::new();
    let alice = house.user("alice").await;
    let logout = Logout::Nobody;
    house
        .users
        .change_password(alice.number, password(NEW), logout)
        .await
        .expect("changed");

    let device = NewDevice::default();
    let old = house
        .users
        .login("alice", &password(PASSWORD), &device)
        .await;
    assert!(matches!(old, Err(LoginError::Refused)));
    house
        .users
        .login("alice", &password(NEW), &device)
        .await
        .expect("it logs in");
}

#[tokio::test]
async fn a_new_password_logs_out_the_others() {
    let house = House::new();
    let alice = house.user("alice").await;
    let phone = house.login("alice").await;
    for token in [alice.token(), token(&phone.session)] {
        house.owner(&token).await.expect("good");
    }
    let own = Logout::AllBut(alice.session.device_id.to_string());
    house
        .users
        .change_password(alice.number, password(NEW), own)
        .await
        .expect("changed");

    assert!(house.owner(&alice.token()).await.is_some());
    assert!(house.owner(&token(&phone.session)).await.is_none());
    assert_eq!(
        house.device_ids(alice.number).await,
        [alice.session.device_id.as_str()]
    );
}

#[tokio::test]
async fn a_new_password_can_leave_the_others_alone() {
    let house = House::new();
    let alice = house.user("alice").await;
    let phone = house.login("alice").await;
    let logout = Logout::Nobody;
    house
        .users
        .change_password(alice.number, password(NEW), logout)
        .await
        .expect("changed");

    assert!(house.owner(&token(&phone.session)).await.is_some());
}

#[tokio::test]
async fn the_operator_resets_a_password_and_logs_everybody_out() {
    let house = House::new();
    let alice = house.user("alice").await;
    house.owner(&alice.token()).await.expect("good");

    let users = &house.users;
    assert!(
        users
            .reset_password("@alice:example.org", password(NEW))
            .await
            .expect("reset")
    );
    assert!(
        !users
            .reset_password("nobody", password(NEW))
            .await
            .expect("no such user")
    );

    assert!(house.owner(&alice.token()).await.is_none());
    users
        .login("alice", &password(NEW), &NewDevice::default())
        .await
        .expect("it logs in");
}
