//! Reading a room: what is shown of it, the events around an event, state and members, for who is in it, gone or outside.

use database::Read;
use rooms_history::{
    AnyToken, ContextRequest, Direction, EventFilter, MembersFilter, MessagesRequest,
    PaginationToken, Reader, StateFormat,
};
use rooms_store::{Membership, RoomError};
use rooms_writer::{Change, Preset};
use ruma::EventId;
use serde_json::{Value, json};

use crate::pages::{backward, list, messages, reader, said};
use rooms_testing::{TestRooms, asked, message, transaction};

#[tokio::test]
async fn who_has_left_reads_the_room_as_it_was() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;
    house.join(&room, &bob).await.expect("a public room");
    let name = |name: &str| json!({ "name": name });
    house
        .set(&room, &alice, "m.room.name", "", name("old"))
        .await
        .expect("a name");
    house.say(&room, &alice, "to all").await.expect("a message");
    house
        .change(&room, &bob, &bob, Change::Leave)
        .await
        .expect("bob may leave");
    house
        .set(&room, &alice, "m.room.name", "", name("new"))
        .await
        .expect("a name");
    house.say(&room, &alice, "to few").await.expect("a message");
    let reader = reader(&house, &bob).await;

    let page = messages(&house, &room, &bob, &backward(2)).await;
    let state = house
        .history
        .state_event_for(&room, reader.user, "m.room.name", "", StateFormat::Content)
        .await;
    let members = house
        .history
        .members_for(&room, reader.user, &MembersFilter::default())
        .await;

    assert_eq!(said(&page), ["m.room.member", "to all"]);
    assert_eq!(
        state.expect("an answer").as_deref(),
        Some(&br#"{"name":"old"}"#[..])
    );
    let members = list(&members.expect("members"));
    let words: Vec<_> = members
        .iter()
        .map(|event| event["content"]["membership"].as_str())
        .collect();
    assert_eq!(words, [Some("join"), Some("leave")]);
    let joined = house.history.joined_members_for(&room, reader.user).await;
    assert!(matches!(joined, Err(RoomError::NotInRoom)));
}

#[tokio::test]
async fn a_forgotten_room_is_no_longer_served_until_the_user_is_in_it_again() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;
    house.join(&room, &bob).await.expect("a public room");
    let reader = reader(&house, &bob).await;

    let too_early = house.writer.forget(&room, reader.user).await;
    assert!(matches!(too_early, Err(RoomError::StillInRoom)));
    house
        .change(&room, &bob, &bob, Change::Leave)
        .await
        .expect("bob may leave");
    house
        .writer
        .forget(&room, reader.user)
        .await
        .expect("bob has left");
    let refused = house.history.messages(&room, &reader, &backward(5)).await;
    house.join(&room, &bob).await.expect("a public room");

    assert!(matches!(refused, Err(RoomError::NotInRoom)));
    assert_eq!(
        said(&messages(&house, &room, &bob, &backward(1)).await),
        ["m.room.member"]
    );
}

#[tokio::test]
async fn strangers_see_only_what_the_world_may_read() {
    let house = TestRooms::new().await;
    let [alice, mallory] = house.people(["alice", "mallory"]).await;
    let closed = house.public_room(&alice).await;
    let open = house.public_room(&alice).await;
    let world = json!({ "history_visibility": "world_readable" });
    house
        .set(&open, &alice, "m.room.history_visibility", "", world)
        .await
        .expect("her room");
    let sent = house
        .say(&open, &alice, "hello, world")
        .await
        .expect("a message");
    let secret = house
        .say(&closed, &alice, "hello, friends")
        .await
        .expect("a message");
    let reader = reader(&house, &mallory).await;

    let refused = house.history.messages(&closed, &reader, &backward(5)).await;
    let event = house
        .history
        .event_for(&open, &reader, &sent.event_id)
        .await;
    let hidden = house
        .history
        .event_for(&closed, &reader, &secret.event_id)
        .await;

    assert!(matches!(refused, Err(RoomError::NotInRoom)));
    assert_eq!(
        said(&messages(&house, &open, &mallory, &backward(1)).await),
        ["hello, world"]
    );
    assert!(event.is_ok());
    assert!(matches!(hidden, Err(RoomError::UnknownEvent)));
}

#[tokio::test]
async fn unsigned_tells_the_sending_device_and_what_was_replaced() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let name = |name: &str| json!({ "name": name });
    let first = house
        .set(&room, &alice, "m.room.name", "", name("old"))
        .await
        .expect("a name");
    house
        .set(&room, &alice, "m.room.name", "", name("new"))
        .await
        .expect("a name");
    let mut once = message(&alice, "once");
    once.transaction = Some(transaction("PHONE", "t1"));
    house.writer.send(&room, once).await.expect("sent");

    let page = list(&messages(&house, &room, &alice, &backward(2)).await.chunk);
    let other_device = Reader {
        device: "LAPTOP".into(),
        ..reader(&house, &alice).await
    };
    let other = house
        .history
        .messages(&room, &other_device, &backward(1))
        .await
        .expect("a page");

    assert_eq!(page[0]["unsigned"]["transaction_id"], "t1");
    assert_eq!(page[0]["unsigned"]["membership"], "join");
    assert_eq!(page[0]["unsigned"]["age"], 0);
    assert_eq!(
        page[1]["unsigned"]["replaces_state"],
        first.event_id.as_str()
    );
    assert_eq!(page[1]["unsigned"]["prev_content"], name("old"));
    assert_eq!(
        list(&other.chunk)[0]["unsigned"].get("transaction_id"),
        None
    );
}

#[tokio::test]
async fn context_shows_what_was_around_and_the_state_then() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let mut ids = Vec::new();
    for text in ["one", "two", "three", "four", "five"] {
        ids.push(
            house
                .say(&room, &alice, text)
                .await
                .expect("a message")
                .event_id,
        );
    }
    house
        .set(
            &room,
            &alice,
            "m.room.topic",
            "",
            json!({ "topic": "later" }),
        )
        .await
        .expect("a topic");
    let reader = reader(&house, &alice).await;
    let request = ContextRequest {
        limit: 4,
        filter: EventFilter::default(),
    };

    let context = house
        .history
        .context(&room, &reader, &ids[2], &request)
        .await
        .expect("a context");

    let bodies = |events: &[u8]| -> Vec<String> {
        list(events)
            .iter()
            .map(|event| event["content"]["body"].to_string())
            .collect()
    };
    assert_eq!(bodies(&context.before), ["\"two\"", "\"one\""]);
    assert_eq!(bodies(&context.event), ["\"three\""]);
    assert_eq!(bodies(&context.after), ["\"four\"", "\"five\""]);
    assert!(
        !list(&context.state)
            .iter()
            .any(|event| event["type"] == "m.room.topic")
    );
    let from = Some(AnyToken::Pagination(context.start));
    let before = messages(
        &house,
        &room,
        &alice,
        &MessagesRequest {
            from,
            ..backward(1)
        },
    )
    .await;
    assert_ne!(said(&before), ["one"]);
    let from = Some(AnyToken::Pagination(context.end));
    let after = MessagesRequest {
        from,
        direction: Direction::Forward,
        ..backward(1)
    };
    assert_eq!(
        said(&messages(&house, &room, &alice, &after).await),
        ["m.room.topic"]
    );
}

#[tokio::test]
async fn members_can_be_asked_for_at_a_stamp_and_by_membership() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;
    let stamp = house.rooms.snapshot().await.expect("a snapshot").stamp();
    house.join(&room, &bob).await.expect("a public room");
    house
        .change(&room, &bob, &bob, Change::Leave)
        .await
        .expect("bob may leave");
    let reader = reader(&house, &alice).await;

    let count = async |filter: MembersFilter| {
        let members = house.history.members_for(&room, reader.user, &filter).await;
        list(&members.expect("members")).len()
    };
    let at = Some(AnyToken::Pagination(PaginationToken::after_stamp(stamp)));

    assert_eq!(count(MembersFilter::default()).await, 2);
    assert_eq!(
        count(MembersFilter {
            at,
            ..MembersFilter::default()
        })
        .await,
        1
    );
    let leave = Some(Membership::Leave);
    assert_eq!(
        count(MembersFilter {
            membership: leave,
            ..MembersFilter::default()
        })
        .await,
        1
    );
    assert_eq!(
        count(MembersFilter {
            not_membership: leave,
            ..MembersFilter::default()
        })
        .await,
        1
    );
    let join = Some(Membership::Join);
    let both = MembersFilter {
        membership: join,
        not_membership: join,
        at: None,
    };
    assert_eq!(count(both).await, 2);
}

#[tokio::test]
async fn who_is_invited_is_shown_what_the_room_is_and_nothing_later() {
    let house = TestRooms::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let mut request = asked(&alice, Preset::PrivateChat);
    request.name = Some("Friends".to_owned());
    let room = house.writer.create_room(request).await.expect("a room");
    house
        .change(&room, &alice, &bob, Change::Invite)
        .await
        .expect("an invite");
    house
        .set(
            &room,
            &alice,
            "m.room.topic",
            "",
            json!({ "topic": "later" }),
        )
        .await
        .expect("a topic");
    let db = house.rooms.snapshot().await.expect("a snapshot");
    let number = house.rooms.require(&db, &room).await.expect("a room");
    let bob_number = reader(&house, &bob).await.user;

    let state = house
        .history
        .stripped_state(&db, number, bob_number)
        .await
        .expect("a state");

    let state: Vec<Value> = serde_json::from_slice(&state).expect("a JSON list");
    let shown: Vec<_> = state
        .iter()
        .map(|event| ["type", "state_key"].map(|name| event[name].as_str().expect("a string")))
        .collect();
    assert_eq!(
        shown,
        [
            ["m.room.create", ""],
            ["m.room.name", ""],
            ["m.room.join_rules", ""],
            ["m.room.member", "@alice:example.org"],
            ["m.room.member", "@bob:example.org"],
        ]
    );
    assert!(state.iter().all(|event| event.get("event_id").is_none()));
    let refused = house.history.state_for(&room, bob_number).await;
    assert!(matches!(refused, Err(RoomError::NotInRoom)));
}

#[tokio::test]
async fn an_event_of_another_room_is_unknown() {
    let house = TestRooms::new().await;
    let alice = house.person("alice").await;
    let [one, other] = [
        house.public_room(&alice).await,
        house.public_room(&alice).await,
    ];
    let sent = house.say(&one, &alice, "here").await.expect("a message");
    let reader = reader(&house, &alice).await;
    let nowhere = EventId::parse("$nowhere").expect("an event id");

    for id in [&*sent.event_id, &*nowhere] {
        let event = house.history.event_for(&other, &reader, id).await;
        assert!(matches!(event, Err(RoomError::UnknownEvent)));
    }
}
