//! Changes of device lists.

use std::collections::HashSet;

use database::{Read, Stamp, server_log::Concern, server_log::SERVER_LOG};
use devices::{
    device_lists::{changed_since, log_since, signed_since},
    keys::{Authorization, CrossSigningUpload, KeyUpload, SignedKey, SignedObject, Usage},
};

use crate::house::{House, Person, cross_json, cross_key, none, one_time_keys, public, sign};

async fn changed(house: &House, people: &[&Person], since: Stamp) -> Vec<u64> {
    let users: HashSet<_> = people.iter().map(|person| person.number).collect();
    let changed = changed_since(&house.db().await, &users, since)
        .await
        .expect("the read");
    let mut changed: Vec<u64> = changed.into_iter().map(|user| user.0).collect();
    changed.sort_unstable();
    changed
}

#[tokio::test]
async fn new_keys_change_a_list_and_the_same_keys_do_not() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let start = house.now().await;
    house.publish(&alice, "DEVICE", 1).await;
    let published = house.now().await;
    house.publish(&alice, "DEVICE", 1).await;
    house.publish(&bob, "DEVICE", 2).await;

    assert_eq!(changed(&house, &[&alice, &bob], start).await, [1, 2]);
    assert_eq!(changed(&house, &[&alice, &bob], published).await, [2]);
    assert_eq!(changed(&house, &[&alice], published).await, [0; 0]);
}

#[tokio::test]
async fn one_time_keys_change_no_list() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let start = house.now().await;

    let upload = KeyUpload {
        one_time_keys: one_time_keys(0..5),
        ..none()
    };
    house.upload(&alice, "DEVICE", &upload).await;

    assert_eq!(changed(&house, &[&alice], start).await, [0; 0]);
}

#[tokio::test]
async fn the_end_of_a_device_counts_if_it_had_keys() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;
    house.publish(&alice, "DEVICE", 1).await;
    let start = house.now().await;

    house.log_out(&alice, "DEVICE").await;
    house.log_out(&bob, "DEVICE").await;

    assert_eq!(changed(&house, &[&alice, &bob], start).await, [1]);
    assert!(house.is_clean(&alice).await);
}

#[tokio::test]
async fn the_end_of_all_devices_is_one_change() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    house.log_in(&alice, "SECOND").await;
    house.publish(&alice, "DEVICE", 1).await;
    house.publish(&alice, "SECOND", 2).await;
    let upload = KeyUpload {
        one_time_keys: one_time_keys(0..5),
        ..none()
    };
    house.upload(&alice, "SECOND", &upload).await;
    let start = house.now().await;
    let user = alice.number;

    house
        .change(move |txn| async move { devices::delete_all(&txn, user).await })
        .await;

    assert_eq!(changed(&house, &[&alice], start).await, [1]);
    assert!(house.is_clean(&alice).await);
}

#[tokio::test]
async fn the_log_holds_each_user_once_at_the_last_change() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let start = house.now().await;
    for seed in 1..5 {
        house.publish(&alice, "DEVICE", seed).await;
        house.publish(&bob, "DEVICE", seed).await;
    }

    let log = log_since(&house.db().await, start, 100)
        .await
        .expect("the read");

    let users: Vec<u64> = log.iter().map(|(_, user)| user.0).collect();
    assert_eq!(users, [1, 2]);
}

#[tokio::test]
async fn many_changes_are_found_by_asking_for_few_users() {
    let house = House::new();
    let names: Vec<String> = (0..600).map(|number| format!("user{number}")).collect();
    let names: [&str; 600] = std::array::from_fn(|at| names[at].as_str());
    let people = Box::pin(house.people(names)).await;
    let start = house.now().await;
    for person in &people[100..] {
        house.publish(person, "DEVICE", 1).await;
    }

    assert_eq!(
        changed(&house, &[&people[99], &people[100], &people[599]], start).await,
        [101, 600]
    );
}

#[tokio::test]
async fn a_change_tells_everyone_whom_it_may_concern() {
    let house = House::new();
    let [alice] = house.people(["alice"]).await;
    let start = house.now().await;

    house.publish(&alice, "DEVICE", 1).await;

    let log = SERVER_LOG.all().after(database::Position::last_of(start));
    let told = house.db().await.page(log, 10).await.expect("the read");
    let told: Vec<Concern> = told.into_iter().map(|(_, concern)| concern).collect();
    assert_eq!(told, [Concern::DeviceList(alice.number)]);
}

#[tokio::test]
async fn a_signature_on_another_user_changes_that_user_for_the_signer_alone() {
    let house = House::new();
    let [alice, bob] = house.people(["alice", "bob"]).await;
    for (person, base) in [(&alice, 10), (&bob, 20)] {
        let master = cross_json(person, "master", base);
        let by = public(base);
        let others = sign(
            cross_json(person, "user_signing", base + 1),
            person,
            &by,
            base,
        );
        let upload = CrossSigningUpload {
            master: Some(cross_key(person, &master, Usage::Master)),
            self_signing: None,
            user_signing: Some(cross_key(person, &others, Usage::UserSigning)),
        };
        let authorization = Authorization::Missing;
        let (number, id) = (person.number, &person.id);
        let devices = &house.devices;
        let uploaded = devices.upload_cross_signing_keys(number, id, &upload, authorization);
        uploaded.await.expect("the first upload");
    }
    let start = house.now().await;
    let json = sign(cross_json(&bob, "master", 20), &alice, &public(11), 11);
    let object = SignedObject::parse(&json.to_string()).expect("an object");
    let keys = [SignedKey {
        owner: bob.number,
        key: public(20),
        object,
    }];

    let outcomes = house
        .devices
        .upload_signatures(alice.number, &alice.id, &keys)
        .await;

    assert!(outcomes.expect("answered")[0].is_ok());
    let db = house.db().await;
    assert_eq!(
        signed_since(&db, alice.number, start)
            .await
            .expect("the read"),
        [bob.number]
    );
    assert!(
        signed_since(&db, bob.number, start)
            .await
            .expect("the read")
            .is_empty()
    );
    assert_eq!(changed(&house, &[&alice, &bob], start).await, [0; 0]);
}
