//! Reading a room: pages of messages, the events around an event, state and members, for who is in it, gone or outside.

use database::{Read, Stamp};
use rooms::{
    AnyToken, Change, ContextRequest, Direction, EventFilter, MembersFilter, Membership,
    MessagesPage, MessagesRequest, PaginationToken, Preset, Reader, RoomError, StateFormat,
};
use ruma::{EventId, RoomId, UserId, api::client::filter::RoomEventFilter};
use serde_json::{Value, json};

use crate::house::{House, asked, message, transaction};

async fn reader(house: &House, user: &UserId) -> Reader {
    let db = house.rooms.snapshot().await.expect("a snapshot");
    let user = house
        .users
        .number(&db, user)
        .await
        .expect("a read")
        .expect("a user");
    Reader {
        user,
        device: "PHONE".into(),
    }
}

fn backward(limit: usize) -> MessagesRequest {
    MessagesRequest {
        from: None,
        to: None,
        direction: Direction::Backward,
        limit,
        filter: EventFilter::default(),
    }
}

fn filter(json: Value) -> EventFilter {
    let filter: RoomEventFilter = serde_json::from_value(json).expect("a filter");
    EventFilter::from(&filter)
}

fn list(elements: &[u8]) -> Vec<Value> {
    let text = [b"[", elements, b"]"].concat();
    serde_json::from_slice(&text).expect("a JSON list")
}

/// What was said on a page, or the types of what is no message.
fn said(page: &MessagesPage) -> Vec<String> {
    let text = |event: &Value| {
        let body = event["content"]["body"].as_str();
        body.or(event["type"].as_str()).expect("a type").to_owned()
    };
    list(&page.chunk).iter().map(text).collect()
}

async fn messages(
    house: &House,
    room: &RoomId,
    user: &UserId,
    request: &MessagesRequest,
) -> MessagesPage {
    let reader = reader(house, user).await;
    house
        .rooms
        .messages(room, &reader, request)
        .await
        .expect("a page")
}

#[tokio::test]
async fn pages_follow_each_other_both_ways_and_end() {
    let house = House::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    for number in 0..25 {
        house
            .say(&room, &alice, &number.to_string())
            .await
            .expect("a message");
    }
    let all = house.timeline(&room).await;

    for direction in [Direction::Backward, Direction::Forward] {
        let mut request = MessagesRequest {
            direction,
            ..backward(7)
        };
        let mut ids = Vec::new();
        loop {
            let page = messages(&house, &room, &alice, &request).await;
            let chunk = list(&page.chunk);
            assert!(chunk.len() <= 7);
            ids.extend(
                chunk
                    .iter()
                    .map(|event| event["event_id"].as_str().expect("an id").to_owned()),
            );
            let Some(end) = page.end else { break };
            assert_ne!(end, page.start);
            request.from = Some(end.to_string().parse().expect("a token"));
        }
        if direction == Direction::Backward {
            ids.reverse();
        }
        let expected: Vec<_> = all.iter().map(|event| event.id.to_string()).collect();
        assert_eq!(ids, expected);
    }
}

#[tokio::test]
async fn a_token_of_a_sync_is_right_behind_what_it_told() {
    let house = House::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    house.say(&room, &alice, "before").await.expect("a message");
    let stamp = house.rooms.snapshot().await.expect("a snapshot").stamp();
    house.say(&room, &alice, "after").await.expect("a message");

    let from = Some(AnyToken::Pagination(PaginationToken::after_stamp(stamp)));
    let back = messages(
        &house,
        &room,
        &alice,
        &MessagesRequest {
            from,
            ..backward(1)
        },
    )
    .await;
    let request = MessagesRequest {
        from,
        direction: Direction::Forward,
        ..backward(10)
    };
    let on = messages(&house, &room, &alice, &request).await;

    assert_eq!(said(&back), ["before"]);
    assert_eq!(said(&on), ["after"]);
    assert_eq!(on.end, None);
}

#[tokio::test]
async fn a_range_ends_at_its_second_token() {
    let house = House::new().await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    let mut stamps = Vec::new();
    for text in ["one", "two", "three"] {
        house.say(&room, &alice, text).await.expect("a message");
        stamps.push(house.rooms.snapshot().await.expect("a snapshot").stamp());
    }
    let token = |stamp: Stamp| Some(AnyToken::Pagination(PaginationToken::after_stamp(stamp)));

    let back = MessagesRequest {
        to: token(stamps[0]),
        ..backward(10)
    };
    let on = MessagesRequest {
        direction: Direction::Forward,
        from: token(stamps[0]),
        to: token(stamps[1]),
        ..backward(10)
    };

    assert_eq!(
        said(&messages(&house, &room, &alice, &back).await),
        ["three", "two"]
    );
    assert_eq!(said(&messages(&house, &room, &alice, &on).await), ["two"]);
}

#[tokio::test]
async fn a_filter_that_matches_little_finds_it_within_bounded_pages() {
    let house = House::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;
    house.join(&room, &bob).await.expect("a public room");
    house.say(&room, &bob, "needle").await.expect("a message");
    for number in 0..40 {
        house
            .say(&room, &alice, &number.to_string())
            .await
            .expect("a message");
    }
    let filter = filter(json!({ "types": ["m.room.mess*"], "senders": [bob] }));

    let page = messages(
        &house,
        &room,
        &alice,
        &MessagesRequest {
            filter,
            ..backward(10)
        },
    )
    .await;

    assert_eq!(said(&page), ["needle"]);
    assert_eq!(page.end, None);
}

#[tokio::test]
async fn the_members_who_spoke_come_along_when_they_are_loaded_lazily() {
    let house = House::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;
    house.join(&room, &bob).await.expect("a public room");
    house.say(&room, &bob, "hello").await.expect("a message");
    let filter = filter(json!({ "lazy_load_members": true }));

    let last = MessagesRequest {
        filter: filter.clone(),
        ..backward(1)
    };
    let last = messages(&house, &room, &alice, &last).await;
    let all = messages(
        &house,
        &room,
        &alice,
        &MessagesRequest {
            filter,
            ..backward(50)
        },
    )
    .await;

    let keys = |page: &MessagesPage| -> Vec<String> {
        list(&page.state)
            .iter()
            .map(|event| event["state_key"].to_string())
            .collect()
    };
    assert_eq!(keys(&last), [format!("\"{bob}\"")]);
    let mut both = keys(&all);
    both.sort();
    assert_eq!(both, [format!("\"{alice}\""), format!("\"{bob}\"")]);
}

#[tokio::test]
async fn who_has_left_reads_the_room_as_it_was() {
    let house = House::new().await;
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
        .rooms
        .state_event_for(&room, reader.user, "m.room.name", "", StateFormat::Content)
        .await;
    let members = house
        .rooms
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
    let joined = house.rooms.joined_members_for(&room, reader.user).await;
    assert!(matches!(joined, Err(RoomError::NotInRoom)));
}

#[tokio::test]
async fn a_forgotten_room_is_no_longer_served_until_the_user_is_in_it_again() {
    let house = House::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let room = house.public_room(&alice).await;
    house.join(&room, &bob).await.expect("a public room");
    let reader = reader(&house, &bob).await;

    let too_early = house.rooms.forget(&room, reader.user).await;
    assert!(matches!(too_early, Err(RoomError::StillInRoom)));
    house
        .change(&room, &bob, &bob, Change::Leave)
        .await
        .expect("bob may leave");
    house
        .rooms
        .forget(&room, reader.user)
        .await
        .expect("bob has left");
    let refused = house.rooms.messages(&room, &reader, &backward(5)).await;
    house.join(&room, &bob).await.expect("a public room");

    assert!(matches!(refused, Err(RoomError::NotInRoom)));
    assert_eq!(
        said(&messages(&house, &room, &bob, &backward(1)).await),
        ["m.room.member"]
    );
}

#[tokio::test]
async fn strangers_see_only_what_the_world_may_read() {
    let house = House::new().await;
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

    let refused = house.rooms.messages(&closed, &reader, &backward(5)).await;
    let event = house.rooms.event_for(&open, &reader, &sent.event_id).await;
    let hidden = house
        .rooms
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
    let house = House::new().await;
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
    house.rooms.send(&room, once).await.expect("sent");

    let page = list(&messages(&house, &room, &alice, &backward(2)).await.chunk);
    let other_device = Reader {
        device: "LAPTOP".into(),
        ..reader(&house, &alice).await
    };
    let other = house
        .rooms
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
    let house = House::new().await;
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
        .rooms
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
    let house = House::new().await;
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
        let members = house.rooms.members_for(&room, reader.user, &filter).await;
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
    let house = House::new().await;
    let [alice, bob] = house.people(["alice", "bob"]).await;
    let mut request = asked(&alice, Preset::PrivateChat);
    request.name = Some("Friends".to_owned());
    let room = house.rooms.create_room(request).await.expect("a room");
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
        .rooms
        .stripped_state(&db, number, bob_number)
        .await
        .expect("a state");

    let state: Vec<Value> = serde_json::from_slice(&state).expect("a JSON list");
    let kinds: Vec<_> = state
        .iter()
        .map(|event| event["type"].as_str().expect("a type"))
        .collect();
    assert_eq!(
        kinds,
        [
            "m.room.create",
            "m.room.name",
            "m.room.join_rules",
            "m.room.member"
        ]
    );
    assert!(state.iter().all(|event| event.get("event_id").is_none()));
    let refused = house.rooms.state_for(&room, bob_number).await;
    assert!(matches!(refused, Err(RoomError::NotInRoom)));
}

#[tokio::test]
async fn an_event_of_another_room_is_unknown() {
    let house = House::new().await;
    let alice = house.person("alice").await;
    let [one, other] = [
        house.public_room(&alice).await,
        house.public_room(&alice).await,
    ];
    let sent = house.say(&one, &alice, "here").await.expect("a message");
    let reader = reader(&house, &alice).await;
    let nowhere = EventId::parse("$nowhere").expect("an event id");

    for id in [&*sent.event_id, &*nowhere] {
        let event = house.rooms.event_for(&other, &reader, id).await;
        assert!(matches!(event, Err(RoomError::UnknownEvent)));
    }
}
