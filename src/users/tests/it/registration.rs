//! New accounts.

use database::{Read, StoreError};
use users::{NameError, NewAccount, NewDevice, RegisterError, tables};

use crate::house::{House, PASSWORD, new_account, password};

#[tokio::test]
async fn a_new_user_is_logged_in() {
    let house = House::new();
    let alice = house.user("alice").await;

    let owner = house
        .owner(&alice.token())
        .await
        .expect("the token is good");
    assert_eq!(owner.user_id, "@alice:example.org");
    assert_eq!(owner.device_id, alice.session.device_id);
    assert_eq!(
        house.device_ids(alice.number).await,
        [alice.session.device_id.as_str()]
    );
}

#[tokio::test]
async fn names_are_lowered_and_checked() {
    let users = House::new().users;
    let wanted = |name: &str| users.wanted_name(name).map(|user_id| user_id.to_string());

    assert_eq!(
        wanted("User-UPPER").as_deref(),
        Ok("@user-upper:example.org")
    );
    assert_eq!(wanted("q3._=-/+").as_deref(), Ok("@q3._=-/+:example.org"));
    for bad in ["a!b", "a:b", "a@b", "é", "a b", "a\nb", "a'b", "a\\b"] {
        assert_eq!(wanted(bad), Err(NameError::Character), "{bad}");
    }
    assert_eq!(wanted(""), Err(NameError::Empty));
    assert_eq!(wanted("_bridge"), Err(NameError::Reserved));
    assert_eq!(wanted(&"a".repeat(250)), Err(NameError::TooLong));
}

#[tokio::test]
async fn a_name_is_given_out_once() {
    let house = House::new();
    house.user("alice").await;

    let db = house.snapshot().await;
    let alice = house.users.wanted_name("ALICE").expect("a good name");
    assert!(
        !house
            .users
            .is_available(&db, &alice)
            .await
            .expect("it reads")
    );
    let again = house
        .users
        .register(new_account(&house.users, "Alice"))
        .await;
    assert!(matches!(again, Err(RegisterError::InUse)));
}

#[tokio::test]
async fn of_two_who_want_one_name_at_once_one_gets_it() {
    let house = House::new();
    let (one, other) = tokio::join!(
        house.users.register(new_account(&house.users, "alice")),
        house.users.register(new_account(&house.users, "alice")),
    );
    assert!(one.is_ok() != other.is_ok());
}

#[tokio::test]
async fn a_name_that_was_only_mentioned_is_still_free() {
    let house = House::new();
    let users = &house.users;
    crate::house::commit(&house.store, move |txn| async move {
        users.intern(&txn, "@alice:example.org").await.map(|_| ())
    })
    .await;

    let alice = house.user("alice").await;
    assert_eq!(alice.user_id, "@alice:example.org");
}

#[tokio::test]
async fn a_registration_that_fails_leaves_nothing() {
    let house = House::new();
    house
        .faults
        .fail_next(1, &StoreError::Unavailable("full".to_owned()));
    // The first block of numbers must be reserved: either that commit fails, or the account's.
    let failed = house
        .users
        .register(new_account(&house.users, "alice"))
        .await;
    assert!(matches!(failed, Err(RegisterError::Store(_))));

    let db = house.snapshot().await;
    assert!(
        db.page(tables::ACCOUNTS.all(), 1)
            .await
            .expect("it reads")
            .is_empty()
    );
    assert!(
        db.page(tables::ACCESS_TOKENS.all(), 1)
            .await
            .expect("it reads")
            .is_empty()
    );
    house.user("alice").await;
}

#[tokio::test]
async fn conflicts_do_not_lose_a_registration() {
    let house = House::new();
    house.faults.fail_next(5, &StoreError::Conflict);
    house.user("alice").await;
    assert!(
        house
            .users
            .login("alice", &password(PASSWORD), &NewDevice::default())
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn nobody_needs_to_log_in_at_once() {
    let house = House::new();
    let new = NewAccount {
        device: None,
        ..new_account(&house.users, "alice")
    };
    let registered = house.users.register(new).await.expect("it registers");

    assert!(registered.session.is_none());
    assert!(house.device_ids(registered.number).await.is_empty());
}

#[tokio::test]
async fn the_operator_makes_admins() {
    let house = House::new();
    let user_id = house
        .users
        .create("root", password(PASSWORD), true)
        .await
        .expect("made");

    let db = house.snapshot().await;
    let root = house
        .users
        .find_active(&db, &user_id)
        .await
        .expect("it reads")
        .expect("there");
    assert!(house.users.is_admin(&db, root).await.expect("it reads"));
    house.login("root").await;
}

#[tokio::test]
async fn made_up_names_are_good_names() {
    let users = House::new().users;
    let (one, other) = (
        users.unused_name().expect("good"),
        users.unused_name().expect("good"),
    );
    assert_ne!(one, other);
}
