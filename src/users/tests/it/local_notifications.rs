//! Notification settings of a device are deleted with it (MSC3890).

use database::{Read, UserNumber};
use users::{AccountData, Logout, account_data};

use crate::house::{House, password};

const STABLE: &str = "m.local_notification_settings.";
const UNSTABLE: &str = "org.matrix.msc3890.local_notification_settings.";

/// Settings of both types for each device, and one whose type is only similar.
async fn silence(house: &House, user: UserNumber, devices: &[&str]) {
    let kinds = devices
        .iter()
        .flat_map(|device| [format!("{STABLE}{device}"), format!("{UNSTABLE}{device}")]);
    for kind in kinds.chain(["m.local_notification_settings".to_owned()]) {
        house
            .users
            .set_account_data(user, None, &kind, r#"{"is_silenced":true}"#)
            .await
            .expect("set");
    }
}

async fn kinds(house: &House, user: UserNumber) -> Vec<String> {
    let all = account_data::all(&house.snapshot().await, user).await;
    all.expect("it reads")
        .into_iter()
        .map(|data| data.kind)
        .collect()
}

/// The settings of [`silence`] that are left if one device is kept.
fn only_of(device: &str) -> [String; 3] {
    [
        "m.local_notification_settings".to_owned(),
        format!("{STABLE}{device}"),
        format!("{UNSTABLE}{device}"),
    ]
}

#[tokio::test]
async fn settings_end_with_their_device_and_others_are_told() {
    let house = House::new();
    let alice = house.user("alice").await;
    let second = house.login("alice").await.session.device_id;
    let first = alice.session.device_id.as_str();
    silence(&house, alice.number, &[first, second.as_str()]).await;
    let before = house.snapshot().await.stamp();

    house
        .users
        .delete_devices(alice.number, vec![second.to_string()])
        .await
        .expect("deleted");

    let left = kinds(&house, alice.number).await;
    assert_eq!(left, only_of(first));
    let told = account_data::since(&house.snapshot().await, alice.number, before).await;
    let gone = |prefix| AccountData {
        room: None,
        kind: format!("{prefix}{second}"),
        content: "{}".to_owned(),
    };
    assert_eq!(told, Ok(vec![gone(STABLE), gone(UNSTABLE)]));
}

#[tokio::test]
async fn a_new_password_keeps_the_settings_of_the_device_that_stays() {
    let house = House::new();
    let alice = house.user("alice").await;
    let second = house.login("alice").await.session.device_id;
    let first = alice.session.device_id.to_string();
    silence(&house, alice.number, &[&first, second.as_str(), "GONE"]).await;

    house
        .users
        .change_password(
            alice.number,
            password("another"),
            Logout::AllBut(first.clone()),
        )
        .await
        .expect("changed");

    let left = kinds(&house, alice.number).await;
    assert_eq!(left, only_of(&first));
}

#[tokio::test]
async fn no_settings_are_left_when_all_devices_end() {
    let house = House::new();
    let alice = house.user("alice").await;
    silence(&house, alice.number, &[alice.session.device_id.as_str()]).await;

    house
        .users
        .logout_all(alice.number)
        .await
        .expect("logged out");

    assert_eq!(
        kinds(&house, alice.number).await,
        ["m.local_notification_settings"]
    );
}
