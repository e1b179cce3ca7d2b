//! Uploading and claiming: order, repetition, counts, fallback keys.

use database::{Position, Stamp};
use devices::keys::{KeyError, KeyUpload, OneTimeKey};

use crate::{
    claims::claim,
    house::{House, Person, none, one_time_keys},
};

async fn upload(house: &House, person: &Person, keys: Vec<OneTimeKey>) -> Result<u64, KeyError> {
    let upload = KeyUpload {
        one_time_keys: keys,
        ..none()
    };
    let devices = &house.devices;
    let counts = devices
        .upload_keys(person.number, &person.id, "DEVICE", &upload)
        .await?;
    Ok(counts.get("signed_curve25519").copied().unwrap_or_default())
}

async fn claimed(house: &House, person: &Person) -> Option<String> {
    let mut keys = house
        .devices
        .claim_keys(&[claim(person.number)])
        .await
        .expect("a claim");
    keys.pop()
        .flatten()
        .map(|key| key.id.replace("signed_curve25519:", ""))
}

fn fallback(name: u32) -> KeyUpload {
    KeyUpload {
        fallback_keys: one_time_keys([name]),
        ..none()
    }
}

async fn unused(house: &House, person: &Person) -> Vec<String> {
    let db = house.db().await;
    let state = house
        .devices
        .state(&db, person.number, "DEVICE", |_| false)
        .await;
    state.expect("the state").unused_fallback_keys.clone()
}

#[tokio::test]
async fn keys_are_claimed_in_the_order_of_upload() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    for name in [9, 1, 5] {
        upload(&house, &alice, one_time_keys([name]))
            .await
            .expect("taken");
    }

    for expected in ["9", "1", "5"] {
        assert_eq!(claimed(&house, &alice).await.as_deref(), Some(expected));
    }
    assert_eq!(claimed(&house, &alice).await, None);
}

#[tokio::test]
async fn a_repeated_upload_changes_nothing() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;

    assert_eq!(
        upload(&house, &alice, one_time_keys(0..3))
            .await
            .expect("taken"),
        3
    );
    assert_eq!(
        upload(&house, &alice, one_time_keys(0..3))
            .await
            .expect("taken"),
        3
    );
    assert_eq!(
        upload(&house, &alice, one_time_keys(1..4))
            .await
            .expect("taken"),
        4
    );
}

#[tokio::test]
async fn a_claimed_key_does_not_come_back_with_a_repeated_upload() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    upload(&house, &alice, one_time_keys(0..2))
        .await
        .expect("taken");
    assert_eq!(claimed(&house, &alice).await.as_deref(), Some("0"));

    assert_eq!(
        upload(&house, &alice, one_time_keys(0..2))
            .await
            .expect("taken"),
        1
    );

    assert_eq!(claimed(&house, &alice).await.as_deref(), Some("1"));
    assert_eq!(claimed(&house, &alice).await, None);
}

#[tokio::test]
async fn another_key_cannot_take_an_id_in_use() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    upload(&house, &alice, one_time_keys([1]))
        .await
        .expect("taken");
    let key = r#"{"key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","signatures":{}}"#;
    let other = OneTimeKey::parse("signed_curve25519:1", key).expect("a good key");

    let refused = upload(&house, &alice, vec![other]).await;

    assert!(matches!(refused, Err(KeyError::IdInUse(_))));
}

#[tokio::test]
async fn more_keys_than_the_limit_are_refused_whole() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let most = u32::try_from(house.devices.limits().one_time_keys).expect("fits");

    let refused = upload(&house, &alice, one_time_keys(0..=most)).await;

    assert!(matches!(refused, Err(KeyError::TooLarge(_))));
    assert_eq!(claimed(&house, &alice).await, None);
}

#[tokio::test]
async fn a_fallback_key_is_given_out_again_and_again_and_is_used_then() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    house.upload(&alice, "DEVICE", &fallback(100)).await;
    upload(&house, &alice, one_time_keys([1]))
        .await
        .expect("taken");
    assert_eq!(claimed(&house, &alice).await.as_deref(), Some("1"));
    assert_eq!(unused(&house, &alice).await, ["signed_curve25519"]);

    assert_eq!(claimed(&house, &alice).await.as_deref(), Some("100"));
    assert_eq!(claimed(&house, &alice).await.as_deref(), Some("100"));

    assert!(unused(&house, &alice).await.is_empty());
    house.upload(&alice, "DEVICE", &fallback(100)).await;
    assert!(
        unused(&house, &alice).await.is_empty(),
        "the same key is as used as before"
    );
    house.upload(&alice, "DEVICE", &fallback(101)).await;
    assert_eq!(unused(&house, &alice).await, ["signed_curve25519"]);
}

#[tokio::test]
async fn new_identity_keys_end_the_one_time_keys_of_the_old() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    house.publish(&alice, "DEVICE", 1).await;
    upload(&house, &alice, one_time_keys(0..3))
        .await
        .expect("taken");

    house.publish(&alice, "DEVICE", 2).await;

    assert_eq!(claimed(&house, &alice).await, None);
    assert_eq!(
        upload(&house, &alice, one_time_keys(0..3))
            .await
            .expect("taken"),
        3
    );
}

#[tokio::test]
async fn a_device_that_was_logged_out_publishes_nothing() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    house.log_out(&alice, "DEVICE").await;

    let refused = upload(&house, &alice, one_time_keys(0..3)).await;

    assert!(matches!(refused, Err(KeyError::NoDevice)));
    assert!(house.is_clean(&alice).await);
}

#[tokio::test]
async fn the_state_of_a_quiet_device_comes_from_memory() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    upload(&house, &alice, one_time_keys(0..2))
        .await
        .expect("taken");
    let db = house.db().await;
    let read = house
        .devices
        .state(&db, alice.number, "DEVICE", |_| true)
        .await
        .expect("read");
    assert_eq!(read.one_time_keys["signed_curve25519"], 2);
    claimed(&house, &alice).await;

    let db = house.db().await;
    let kept = house
        .devices
        .state(&db, alice.number, "DEVICE", |_| true)
        .await
        .expect("kept");
    let changed = database::Read::stamp(&db);
    let is_unchanged = move |stamp: Stamp| stamp >= changed;
    let read = house
        .devices
        .state(&db, alice.number, "DEVICE", is_unchanged)
        .await;

    assert_eq!(
        kept.one_time_keys["signed_curve25519"], 2,
        "told that nothing has changed"
    );
    assert_eq!(read.expect("read").one_time_keys["signed_curve25519"], 1);
    assert_eq!(kept.oldest_message, None::<Position>);
}

#[tokio::test]
async fn a_restore_drops_what_may_have_been_given_out() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    upload(&house, &alice, one_time_keys(0..2))
        .await
        .expect("taken");

    house
        .change(|txn| async move {
            devices::drop_one_time_keys(&txn);
            Ok(())
        })
        .await;

    assert_eq!(claimed(&house, &alice).await, None);
}
