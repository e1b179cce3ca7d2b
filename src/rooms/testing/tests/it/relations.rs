//! Relations between events: single rules. `relations_model` compares random histories with a plain second implementation.

use database::Read;
use rooms_history::{Direction, EventFilter, Relations, RelationsRequest, ThreadsRequest};
use rooms_store::{RoomError, relations::RELATION_COUNTS};
use rooms_writer::{Message, Redaction};
use ruma::{EventId, OwnedEventId, RoomId, UserId};
use serde_json::{Map, Value, json};

use crate::pages::{backward, list, messages, reader};
use rooms_testing::{TestRooms, raw};

/// Sends an event of this type with a relation.
pub(crate) async fn relate(
    house: &TestRooms,
    room: &RoomId,
    sender: &UserId,
    kind: &str,
    content: Value,
) -> OwnedEventId {
    let message = Message {
        sender: sender.to_owned(),
        kind: kind.to_owned(),
        content: raw(&content),
        transaction: None,
        timestamp: None,
    };
    let sent = house.writer.send(room, message).await;
    sent.expect("they may send").event_id
}

pub(crate) fn related(relation: &str, parent: &str) -> Value {
    json!({
        "msgtype": "m.text",
        "body": "related",
        "m.relates_to": { "rel_type": relation, "event_id": parent },
    })
}

pub(crate) fn edit(parent: &str) -> Value {
    let mut content = related("m.replace", parent);
    content["m.new_content"] = json!({ "msgtype": "m.text", "body": "new" });
    content
}

pub(crate) async fn redact(house: &TestRooms, room: &RoomId, sender: &UserId, target: &EventId) {
    let redaction = Redaction {
        sender: sender.to_owned(),
        target: target.to_owned(),
        content: Map::new(),
        transaction: None,
    };
    let redacted = house.writer.redact(room, redaction).await;
    redacted.expect("they may redact");
}

pub(crate) async fn ignore(house: &TestRooms, user: &UserId, ignored: &[&UserId]) {
    let ignored: Map<String, Value> = ignored
        .iter()
        .map(|user| (user.to_string(), json!({})))
        .collect();
    let content = json!({ "ignored_users": ignored }).to_string();
    let number = reader(house, user).await.user;
    house
        .users
        .set_account_data(number, None, "m.ignored_user_list", &content)
        .await
        .expect("their own list");
}

pub(crate) fn children() -> RelationsRequest {
    RelationsRequest {
        from: None,
        to: None,
        direction: Direction::Backward,
        limit: 100,
        relation: None,
        kind: None,
        recurse: false,
    }
}

async fn bundle(house: &TestRooms, room: &RoomId, user: &UserId, event: &EventId) -> Value {
    let reader = reader(house, user).await;
    let event = house.history.event_for(room, &reader, event).await;
    let event: Value = serde_json::from_slice(&event.expect("an event")).expect("JSON");
    event["unsigned"]["m.relations"].clone()
}

pub(crate) fn ids(chunk: &[u8]) -> Vec<String> {
    let id = |event: &Value| event["event_id"].as_str().expect("an id").to_owned();
    list(chunk).iter().map(id).collect()
}

#[tokio::test]
async fn only_the_sender_edits_and_the_newest_edit_counts() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;
    house.join(&room, &bob).await.expect("a public room");
    let said = house.say(&room, &alice, "old").await.expect("a message");
    let said = said.event_id;
    let kind = "m.room.message";
    let first = relate(&house, &room, &alice, kind, edit(said.as_str())).await;
    house.clock.advance(std::time::Duration::from_secs(1));
    let second = relate(&house, &room, &alice, kind, edit(said.as_str())).await;
    house.clock.advance(std::time::Duration::from_secs(1));
    relate(&house, &room, &bob, kind, edit(said.as_str())).await;
    let other_kind = relate(&house, &room, &alice, "m.sticker", edit(said.as_str())).await;
    let unsaid = related("m.replace", said.as_str());
    relate(&house, &room, &alice, kind, unsaid).await;

    let newest = bundle(&house, &room, &bob, &said).await;
    redact(&house, &room, &alice, &second).await;
    let older = bundle(&house, &room, &bob, &said).await;
    let of_edit = bundle(&house, &room, &bob, &other_kind).await;
    redact(&house, &room, &alice, &said).await;
    let of_redacted = bundle(&house, &room, &bob, &said).await;

    assert_eq!(newest["m.replace"]["event_id"], second.as_str());
    assert_eq!(older["m.replace"]["event_id"], first.as_str());
    assert_eq!(of_edit, Value::Null);
    assert_eq!(of_redacted, Value::Null);
}

#[tokio::test]
async fn the_newest_event_of_a_thread_brings_its_own_edit() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let root = house.say(&room, &alice, "root").await.expect("a message");
    let root = root.event_id;
    let kind = "m.room.message";
    let reply = relate(
        &house,
        &room,
        &alice,
        kind,
        related("m.thread", root.as_str()),
    )
    .await;
    let edited = relate(&house, &room, &alice, kind, edit(reply.as_str())).await;

    let thread = bundle(&house, &room, &alice, &root).await["m.thread"].clone();

    let latest = &thread["latest_event"];
    assert_eq!(latest["event_id"], reply.as_str());
    assert_eq!(latest["room_id"], room.as_str());
    let of_latest = &latest["unsigned"]["m.relations"];
    assert_eq!(of_latest["m.replace"]["event_id"], edited.as_str());
    assert_eq!(
        (&thread["count"], &thread["current_user_participated"]),
        (&json!(1), &json!(true))
    );
}

#[tokio::test]
async fn children_of_children_are_listed_on_request() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let root = house.say(&room, &alice, "root").await.expect("a message");
    let kind = "m.room.message";
    let mut chain = vec![root.event_id.clone()];
    for _ in 0..5 {
        let parent = chain.last().expect("one at least").as_str();
        let child = related("m.reference", parent);
        chain.push(relate(&house, &room, &alice, kind, child).await);
    }
    let mut request = children();
    let reader = reader(&house, &alice).await;
    let list = async |request: RelationsRequest| {
        let page = house
            .history
            .relations(&room, &reader, &root.event_id, &request)
            .await
            .expect("a page");
        (ids(&page.chunk), page.depth)
    };

    let direct = list(request.clone()).await;
    request.recurse = true;
    request.direction = Direction::Forward;
    let all = list(request.clone()).await;
    request.relation = Some("m.thread".to_owned());
    let threads = list(request).await;

    assert_eq!(direct, (vec![chain[1].to_string()], None));
    let three: Vec<String> = chain[1..=3].iter().map(ToString::to_string).collect();
    assert_eq!(all, (three, Some(3)));
    assert_eq!(threads, (Vec::new(), Some(3)));
}

#[tokio::test]
async fn what_the_reader_may_not_see_has_no_children() {
    let house = TestRooms::new().await;
    let [alice, mallory] = house.people(["alice", "mallory"]).await;
    let room = house.public_room(&alice).await;
    let root = house.say(&room, &alice, "root").await.expect("a message");
    let reader = reader(&house, &mallory).await;

    let refused = house
        .history
        .relations(&room, &reader, &root.event_id, &children())
        .await;
    let request = ThreadsRequest {
        from: None,
        limit: 10,
        participated: false,
    };
    let threads = house.history.threads(&room, &reader, request).await;

    assert!(matches!(refused, Err(RoomError::UnknownEvent)));
    assert!(matches!(threads, Err(RoomError::NotInRoom)));
}

#[tokio::test]
async fn a_filter_finds_events_by_their_children() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;
    house.join(&room, &bob).await.expect("a public room");
    let kind = "m.room.message";
    let mut said = Vec::new();
    for text in [
        "none",
        "thread by bob",
        "reaction by bob",
        "thread by alice",
    ] {
        let sent = house.say(&room, &alice, text).await.expect("a message");
        said.push(sent.event_id);
    }
    relate(
        &house,
        &room,
        &bob,
        kind,
        related("m.thread", said[1].as_str()),
    )
    .await;
    let reaction = related("m.annotation", said[2].as_str());
    relate(&house, &room, &bob, "m.reaction", reaction).await;
    relate(
        &house,
        &room,
        &alice,
        kind,
        related("m.thread", said[3].as_str()),
    )
    .await;

    let mut found = Vec::new();
    for filter in [
        json!({ "related_by_rel_types": ["m.thread"] }),
        json!({ "related_by_senders": [bob] }),
        json!({ "related_by_rel_types": ["m.thread"], "related_by_senders": [bob] }),
        json!({ "related_by_senders": ["@nobody:example.org"] }),
    ] {
        let relations: Relations = serde_json::from_value(filter).expect("a filter");
        let mut request = backward(50);
        request.filter = EventFilter::default().with_relations(relations);
        found.push(ids(&messages(&house, &room, &alice, &request).await.chunk));
    }

    let named =
        |at: &[usize]| -> Vec<String> { at.iter().map(|at| said[*at].to_string()).collect() };
    assert_eq!(
        found,
        [named(&[3, 1]), named(&[2, 1]), named(&[1]), named(&[])]
    );
}

#[tokio::test]
async fn relations_beyond_the_limit_are_sent_but_not_listed() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let reaction = related("m.annotation", "$of_an_event_that_is_not_there");
    relate(&house, &room, &alice, "m.reaction", reaction.clone()).await;
    let db = house.rooms.snapshot().await.expect("a snapshot");
    let number = house.rooms.require(&db, &room).await.expect("a room");
    let row = RELATION_COUNTS.at((number, "$of_an_event_that_is_not_there"));
    let full = async |count: u64| {
        let row = row.clone();
        let mut counts = db.get(row.clone()).await.expect("a read").expect("a row");
        counts.all = count;
        let body = |txn: database::Txn| {
            let row = row.clone();
            async move {
                txn.put(row, &counts);
                Ok::<_, database::StoreError>(())
            }
        };
        house.store.transact(body).await.expect("a write");
    };

    full(99_999).await;
    relate(&house, &room, &alice, "m.reaction", reaction.clone()).await;
    relate(&house, &room, &alice, "m.reaction", reaction).await;

    let db = house.rooms.snapshot().await.expect("a snapshot");
    let counts = db.get(row.clone()).await.expect("a read").expect("a row");
    assert_eq!(counts.all, 100_000);
}
