//! Pages of messages: both ways, between tokens, filtered, with the members who spoke.

use database::{Read, Stamp};
use rooms_history::{
    AnyToken, Direction, EventFilter, MessagesPage, MessagesRequest, PaginationToken, Reader,
};
use ruma::{RoomId, UserId, api::client::filter::RoomEventFilter};
use serde_json::{Value, json};

use rooms_testing::TestRooms;

pub(crate) async fn reader(house: &TestRooms, user: &UserId) -> Reader {
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

pub(crate) fn backward(limit: usize) -> MessagesRequest {
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

pub(crate) fn list(elements: &[u8]) -> Vec<Value> {
    let text = [b"[", elements, b"]"].concat();
    serde_json::from_slice(&text).expect("a JSON list")
}

/// What was said on a page, or the types of what is no message.
pub(crate) fn said(page: &MessagesPage) -> Vec<String> {
    let text = |event: &Value| {
        let body = event["content"]["body"].as_str();
        body.or(event["type"].as_str()).expect("a type").to_owned()
    };
    list(&page.chunk).iter().map(text).collect()
}

pub(crate) async fn messages(
    house: &TestRooms,
    room: &RoomId,
    user: &UserId,
    request: &MessagesRequest,
) -> MessagesPage {
    let reader = reader(house, user).await;
    house
        .history
        .messages(room, &reader, request)
        .await
        .expect("a page")
}

#[tokio::test]
async fn pages_follow_each_other_both_ways_and_end() {
    let house = TestRooms::new().await;
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
    let house = TestRooms::new().await;
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
    let house = TestRooms::new().await;
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
    let house = TestRooms::new().await;
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
    let house = TestRooms::new().await;
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
