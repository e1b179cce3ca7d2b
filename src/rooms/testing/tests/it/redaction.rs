//! Redaction: what is redacted is gone.

use database::Read;
use rooms_store::{
    RoomError,
    tables::{EVENT_NUMBERS, EVENTS},
};
use rooms_writer::{Redaction, Sent};
use ruma::{OwnedEventId, RoomId, UserId};
use serde_json::{Map, json};

use rooms_testing::{TestRooms, message, raw};

async fn redact(
    house: &TestRooms,
    room: &RoomId,
    sender: &UserId,
    target: &OwnedEventId,
) -> Result<Sent, RoomError> {
    let redaction = Redaction {
        sender: sender.to_owned(),
        target: target.clone(),
        content: Map::new(),
        transaction: None,
    };
    house.writer.redact(room, redaction).await
}

#[tokio::test]
async fn what_was_redacted_is_gone_from_disk_and_memory() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let sent = house
        .say(&room, &alice, "a secret")
        .await
        .expect("a message");
    house.timeline(&room).await;

    let redaction = redact(&house, &room, &alice, &sent.event_id)
        .await
        .expect("her own");

    let db = house.rooms.snapshot().await.expect("a snapshot");
    let number = house.rooms.require(&db, &room).await.expect("a room");
    let event = db
        .get(EVENT_NUMBERS.at((number, sent.event_id.as_str())))
        .await
        .expect("a read");
    let row = db
        .get(EVENTS.at((number, event.expect("a number"))))
        .await
        .expect("a read");
    assert!(!row.expect("a row").value.json.contains("a secret"));
    let events = house.timeline(&room).await;
    let target = events
        .iter()
        .find(|event| event.id == sent.event_id)
        .expect("still there");
    assert_eq!(target.content(), "{}");
    let by = events
        .iter()
        .find(|event| Some(event.number) == target.redacted_because);
    assert_eq!(by.expect("its redaction").id, redaction.event_id);
}

#[tokio::test]
async fn others_events_are_redacted_only_with_the_power_to() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;
    house.join(&room, &bob).await.expect("a public room");
    let hers = house.say(&room, &alice, "mine").await.expect("a message");
    let his = house.say(&room, &bob, "mine").await.expect("a message");

    let refused = redact(&house, &room, &bob, &hers.event_id).await;

    assert!(matches!(refused, Err(RoomError::Forbidden(_))));
    redact(&house, &room, &bob, &his.event_id)
        .await
        .expect("his own");
    redact(&house, &room, &alice, &hers.event_id)
        .await
        .expect("her own");
}

#[tokio::test]
async fn an_event_of_another_room_cannot_be_redacted() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let [one, other] = [
        house.public_room(&alice).await,
        house.public_room(&alice).await,
    ];
    let sent = house.say(&one, &alice, "here").await.expect("a message");

    let refused = redact(&house, &other, &alice, &sent.event_id).await;

    assert!(matches!(refused, Err(RoomError::UnknownEvent)));
}

#[tokio::test]
async fn a_redaction_can_be_sent_as_a_message() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let sent = house
        .say(&room, &alice, "a secret")
        .await
        .expect("a message");
    let mut redaction = message(&alice, "");
    redaction.kind = "m.room.redaction".to_owned();
    redaction.content = raw(&json!({ "redacts": sent.event_id, "reason": "oops" }));

    house.writer.send(&room, redaction).await.expect("her own");

    let events = house.timeline(&room).await;
    let target = events
        .iter()
        .find(|event| event.id == sent.event_id)
        .expect("still there");
    assert_eq!(target.content(), "{}");
}
