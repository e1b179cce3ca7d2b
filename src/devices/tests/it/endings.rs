//! Deleting a device deletes all of its data: afterwards, no row of any table names it. Other
//! devices do not change.

use std::sync::Arc;

use database::{
    Memory, Order, Store,
    engine::{Engine as _, Span},
};
use devices::{
    LastSeen, Limits,
    dehydrated::NewDehydrated,
    keys::{Authorization, Claim, CrossSigningUpload, KeyUpload, SignedKey, SignedObject, Usage},
    to_device::{Message, Recipient, Target},
};

use crate::house::{
    House, Person, cross_json, cross_key, device_json, device_keys, none, one_time_keys, public,
    sign,
};

/// Names that no other text contains.
const PHONE: &str = "FADING-PHONE";
const DRY: &str = "DRIED-DEVICE";
const MASTER: u8 = 50;
const SELF_SIGNING: u8 = 51;

type Row = (&'static str, Vec<u8>, Vec<u8>);

/// All rows that name a device in their key or value.
fn rows_naming(memory: &Memory, device: &str) -> Vec<Row> {
    let names_it = |bytes: &[u8]| {
        let mut windows = bytes.windows(device.len());
        windows.any(|window| window == device.as_bytes())
    };
    let view = memory.snapshot();
    let mut found = Vec::new();
    for table in devices::tables() {
        let all = Span {
            table: table.name,
            from: Vec::new(),
            to: None,
        };
        let scan = view.scan_now(&all, Order::Forward, usize::MAX, &mut |key, value| {
            if names_it(key) || names_it(value) {
                found.push((table.name, key.to_vec(), value.to_vec()));
            }
        });
        scan.expect("a scan");
    }
    found
}

fn tables_of(rows: &[Row]) -> Vec<&'static str> {
    let mut tables: Vec<_> = rows.iter().map(|(table, ..)| *table).collect();
    tables.dedup();
    tables
}

/// Two people, each with `DEVICE`; alice has `PHONE` as well, with everything that a device can
/// have, and a dehydrated device.
async fn lived_in() -> (House, Memory, Person) {
    let memory = Memory::new();
    let store = Store::new(Arc::new(memory.clone()));
    let limits = Limits {
        inbox_messages: 4,
        ..Limits::default()
    };
    let house = House::with(store, limits);
    let [alice, bob] = house.people(["alice", "bob"]).await;
    house.log_in(&alice, PHONE).await;
    for (device, seed) in [("DEVICE", 1), (PHONE, 2)] {
        house.publish(&alice, device, seed).await;
        let upload = KeyUpload {
            one_time_keys: one_time_keys(0..5),
            fallback_keys: one_time_keys([100]),
            ..none()
        };
        house.upload(&alice, device, &upload).await;
        claim(&house, &alice, device).await;
        see(&house, &alice, device).await;
    }
    cross_sign(&house, &alice).await;
    for number in 0..10 {
        send(&house, (&bob, "DEVICE"), &alice, number).await;
        send(&house, (&alice, PHONE), &bob, number).await;
        send(&house, (&alice, "DEVICE"), &bob, number).await;
    }
    dehydrate(&house, &alice).await;
    (house, memory, alice)
}

async fn claim(house: &House, person: &Person, device: &str) {
    let claim = Claim {
        user: person.number,
        device: device.to_owned(),
        algorithm: "signed_curve25519".to_owned(),
    };
    let claimed = house.devices.claim_keys(&[claim]).await.expect("a claim");
    assert!(claimed[0].is_some());
}

async fn see(house: &House, person: &Person, device: &str) {
    let user = person.number;
    let last_seen = &LastSeen {
        ip: "127.0.0.1".to_owned(),
        ts: 1,
    };
    house
        .change(move |txn| async move { devices::saw(&txn, user, device, last_seen).await })
        .await;
}

/// The phone signs the master key, and the self-signing key signs the phone.
async fn cross_sign(house: &House, person: &Person) {
    let master = cross_json(person, "master", MASTER);
    let master = sign(master, person, "DEVICE", 1);
    let own = cross_json(person, "self_signing", SELF_SIGNING);
    let own = sign(own, person, &public(MASTER), MASTER);
    let upload = CrossSigningUpload {
        master: Some(cross_key(person, &master, Usage::Master)),
        self_signing: Some(cross_key(person, &own, Usage::SelfSigning)),
        user_signing: None,
    };
    let uploaded = house.devices.upload_cross_signing_keys(
        person.number,
        &person.id,
        &upload,
        Authorization::Missing,
    );
    uploaded.await.expect("the first upload");
    let phone = device_json(person, PHONE, 2);
    let phone = sign(phone, person, &public(SELF_SIGNING), SELF_SIGNING);
    let master = sign(cross_json(person, "master", MASTER), person, PHONE, 2);
    let keys = [(PHONE.to_owned(), phone), (public(MASTER), master)].map(|(key, json)| {
        let object = SignedObject::parse(&json.to_string()).expect("an object");
        SignedKey {
            owner: person.number,
            key,
            object,
        }
    });
    let signed = house
        .devices
        .upload_signatures(person.number, &person.id, &keys)
        .await;
    assert!(signed.expect("answered").iter().all(Result::is_ok));
}

/// Sends to all devices, finally more than an inbox can hold.
async fn send(house: &House, (sender, device): (&Person, &str), to: &Person, number: usize) {
    let recipient = Recipient {
        user: to.number,
        target: Target::All,
        content: "{}".into(),
    };
    let message = Message {
        sender: sender.number,
        sender_id: &sender.id,
        device,
        kind: "m.test",
        transaction: &number.to_string(),
        recipients: vec![recipient],
    };
    house.devices.send(&message).await.expect("sent");
}

async fn dehydrate(house: &House, person: &Person) {
    let keys = KeyUpload {
        device_keys: Some(device_keys(person, DRY, 3)),
        one_time_keys: one_time_keys(0..5),
        fallback_keys: one_time_keys([100]),
    };
    let new = NewDehydrated {
        device: DRY,
        data: r#"{"algorithm":"x"}"#,
        display_name: None,
        keys: &keys,
    };
    let made = house.devices.dehydrate(person.number, &person.id, &new);
    made.await.expect("dehydrated");
}

#[tokio::test]
async fn nothing_names_a_device_that_has_ended() {
    let (house, memory, alice) = lived_in().await;
    let had = tables_of(&rows_naming(&memory, PHONE));
    for table in [
        "device_keys",
        "key_signatures",
        "one_time_keys",
        "one_time_key_ids",
        "claimed_keys",
        "key_counts",
        "fallback_keys",
        "devices",
        "devices_last_seen",
        "to_device_inbox",
        "to_device_dropped",
        "to_device_sent",
        "to_device_sent_log",
    ] {
        assert!(had.contains(&table), "the test says nothing of {table}");
    }
    let others = |memory: &Memory| {
        let phone = rows_naming(memory, PHONE);
        let mut rows = rows_naming(memory, "DEVICE");
        rows.retain(|row| !phone.contains(row));
        rows
    };
    let before = others(&memory);
    let stamp = house.now().await;

    house.log_out(&alice, PHONE).await;

    assert_eq!(rows_naming(&memory, PHONE), []);
    assert_eq!(others(&memory), before);
    assert_eq!(house.now().await, stamp.next(), "it was one commit");
}

#[tokio::test]
async fn nothing_names_a_dehydrated_device_that_has_ended() {
    let (house, memory, alice) = lived_in().await;
    let had = tables_of(&rows_naming(&memory, DRY));
    assert!(had.contains(&"dehydrated_devices"), "{had:?}");
    let before = rows_naming(&memory, PHONE);

    house.log_out(&alice, DRY).await;

    assert_eq!(rows_naming(&memory, DRY), []);
    assert_eq!(rows_naming(&memory, PHONE), before);
}

#[tokio::test]
async fn nothing_is_left_of_any_device_when_all_end() {
    let (house, memory, alice) = lived_in().await;
    let user = alice.number;
    let stamp = house.now().await;

    house
        .change(move |txn| async move { devices::delete_all(&txn, user).await })
        .await;

    assert_eq!(rows_naming(&memory, PHONE), []);
    assert_eq!(rows_naming(&memory, DRY), []);
    assert_eq!(house.now().await, stamp.next(), "it was one commit");
    let left = house.query(&alice, &alice).await;
    assert!(left.devices.is_empty());
    assert!(left.master.is_some(), "cross-signing keys stay");
}

#[tokio::test]
async fn who_is_logged_out_while_they_send_leaves_nothing() {
    let (house, memory, alice) = lived_in().await;
    house.log_out(&alice, PHONE).await;
    let recipient = Recipient {
        user: alice.number,
        target: Target::All,
        content: "{}".into(),
    };
    let message = Message {
        sender: alice.number,
        sender_id: &alice.id,
        device: PHONE,
        kind: "m.test",
        transaction: "late",
        recipients: vec![recipient],
    };

    let refused = house.devices.send(&message).await;

    assert!(matches!(
        refused,
        Err(devices::to_device::SendError::NoDevice)
    ));
    assert_eq!(rows_naming(&memory, PHONE), []);
}
