//! Dehydrated devices are devices without a session.

use devices::{
    dehydrated::{self, NewDehydrated},
    keys::{KeyError, KeyUpload},
};

use crate::house::{House, Person, device_keys, none};

async fn dehydrate(house: &House, person: &Person, device: &str, seed: u8) -> Result<(), KeyError> {
    let keys = KeyUpload {
        device_keys: Some(device_keys(person, device, seed)),
        ..none()
    };
    let data = r#"{"algorithm":"x"}"#;
    let new = NewDehydrated {
        device,
        data,
        display_name: None,
        keys: &keys,
    };
    house
        .devices
        .dehydrate(person.number, &person.id, &new)
        .await
}

async fn stored(house: &House, person: &Person) -> Option<String> {
    let row = dehydrated::get(&house.db().await, person.number)
        .await
        .expect("the read");
    row.map(|row| row.device)
}

#[tokio::test]
async fn a_new_dehydrated_device_takes_the_place_of_the_old() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;

    dehydrate(&house, &alice, "DRY1", 1)
        .await
        .expect("dehydrated");
    dehydrate(&house, &alice, "DRY2", 2)
        .await
        .expect("dehydrated");

    assert_eq!(stored(&house, &alice).await.as_deref(), Some("DRY2"));
    let keys = house.query(&alice, &alice).await;
    let devices: Vec<&str> = keys
        .devices
        .iter()
        .map(|(device, _)| device.as_str())
        .collect();
    assert_eq!(devices, ["DRY2"]);
}

#[tokio::test]
async fn a_device_with_a_session_is_not_dehydrated() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;

    let refused = dehydrate(&house, &alice, "DEVICE", 1).await;

    assert!(matches!(refused, Err(KeyError::KeyIdInUse)));
    assert_eq!(stored(&house, &alice).await, None);
}

#[tokio::test]
async fn a_dehydrated_device_ends_like_any_other() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    dehydrate(&house, &alice, "DRY", 1)
        .await
        .expect("dehydrated");

    house.log_out(&alice, "DRY").await;

    assert_eq!(stored(&house, &alice).await, None);
    let deleted = house
        .devices
        .delete_dehydrated(alice.number)
        .await
        .expect("the write");
    assert_eq!(deleted, None);
}
