//! Sending: order, transaction ids, failures.

use std::collections::HashSet;

use database::StoreError;
use futures_util::future::join_all;
use rooms_store::RoomError;

use rooms_testing::{TestRooms, message, transaction};

#[tokio::test]
async fn a_transaction_id_sends_once_even_across_a_restart() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let mut once = message(&alice, "once");
    once.transaction = Some(transaction("PHONE", "t1"));

    let first = house.writer.send(&room, once.clone()).await.expect("sent");
    let again = house.writer.send(&room, once.clone()).await.expect("known");
    let restarted = TestRooms::on(house.memory().clone()).await;
    let later = restarted
        .writer
        .send(&room, once.clone())
        .await
        .expect("known");
    once.transaction = Some(transaction("LAPTOP", "t1"));
    let elsewhere = restarted.writer.send(&room, once).await.expect("sent");

    assert_eq!((&first, &first), (&again, &later));
    assert_ne!(first, elsewhere);
}

#[tokio::test]
async fn two_copies_of_one_transaction_at_once_make_one_event() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let mut once = message(&alice, "once");
    once.transaction = Some(transaction("PHONE", "t1"));

    let sent = join_all((0..16).map(|_| house.writer.send(&room, once.clone()))).await;

    let ids: HashSet<_> = sent
        .into_iter()
        .map(|sent| sent.expect("sent").event_id)
        .collect();
    assert_eq!(ids.len(), 1);
}

#[tokio::test]
async fn concurrent_messages_are_all_there_and_each_follows_the_last() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let before = house.timeline(&room).await.len();

    let texts: Vec<String> = (0..200).map(|n| format!("message {n}")).collect();
    let sent = join_all(texts.iter().map(|text| house.say(&room, &alice, text))).await;

    let sent: HashSet<_> = sent
        .into_iter()
        .map(|sent| sent.expect("sent").event_id)
        .collect();
    let events = house.timeline(&room).await;
    assert_eq!(sent.len(), 200);
    assert_eq!(events.len(), before + 200);
    for pair in events.windows(2) {
        assert_eq!(pair[1].depth, pair[0].depth + 1);
        assert!(
            pair[1].json().contains(pair[0].id.as_str()),
            "each names the one before"
        );
    }
}

#[tokio::test]
async fn one_refused_event_does_not_spoil_its_group() {
    let house = TestRooms::new().await;
    let [alice, mallory] = house.people(["alice", "mallory"]).await;
    let room = house.public_room(&alice).await;

    let people = [&alice, &mallory, &alice];
    let sent = join_all(people.map(|person| house.say(&room, person, "hello"))).await;

    assert!(sent[0].is_ok() && sent[2].is_ok());
    assert!(matches!(sent[1], Err(RoomError::NotInRoom)));
}

#[tokio::test]
async fn a_conflict_is_done_again_and_a_dead_disk_is_told() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    house.say(&room, &alice, "before").await.expect("sent");

    house.memory().faults().fail_next(3, &StoreError::Conflict);
    house
        .say(&room, &alice, "contended")
        .await
        .expect("sent in the end");
    house
        .memory()
        .faults()
        .fail_next(1, &StoreError::Unavailable("disk full".to_owned()));
    let refused = house.say(&room, &alice, "lost").await;
    house
        .say(&room, &alice, "after")
        .await
        .expect("the disk is back");

    assert!(matches!(
        refused,
        Err(RoomError::Store(StoreError::Unavailable(_)))
    ));
    let events = house.timeline(&room).await;
    assert!(!events.iter().any(|event| event.content().contains("lost")));
}

#[tokio::test]
async fn too_large_an_event_is_refused() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;

    let refused = house.say(&room, &alice, &"x".repeat(66_000)).await;

    assert!(matches!(refused, Err(RoomError::TooLarge)));
}

#[tokio::test]
async fn state_that_is_said_again_is_no_event() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let name = serde_json::json!({ "name": "Kitchen" });
    let first = house
        .set(&room, &alice, "m.room.name", "", name.clone())
        .await
        .expect("set");
    let before = house.timeline(&room).await.len();

    let again = house
        .set(&room, &alice, "m.room.name", "", name)
        .await
        .expect("set");

    assert_eq!(first, again);
    assert_eq!(house.timeline(&room).await.len(), before);
}
