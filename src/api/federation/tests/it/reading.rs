//! Servers in a room read its events and states; others get nothing.

use http::StatusCode;
use rooms_writer::Change;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde_json::{Value, json};

use crate::{
    guest::{acl_without, join, pairs, refused},
    server::{Servers, TestServer},
};

struct Scene {
    _servers: Servers,
    a: TestServer,
    b: TestServer,
    alice: OwnedUserId,
    bob: OwnedUserId,
    room: OwnedRoomId,
}

/// Alice on server a has a public room; Bob is on server b.
async fn scene() -> Scene {
    let servers = Servers::new();
    let [a, b] = servers.start_all(["a.test", "b.test"]).await;
    let alice = a.rooms.person("alice").await;
    let bob = b.rooms.person("bob").await;
    let room = a.rooms.public_room(&alice).await;
    Scene {
        _servers: servers,
        a,
        b,
        alice,
        bob,
        room,
    }
}

impl Scene {
    async fn say(&self, text: &str) -> OwnedEventId {
        let sent = self.a.rooms.say(&self.room, &self.alice, text).await;
        sent.expect("she may").event_id
    }

    async fn get(&self, path: &str) -> (StatusCode, Value) {
        let path = format!("/_matrix/federation/v1/{path}");
        self.b.ask(&self.a, "GET", &path).await
    }

    async fn missing(&self, body: Value) -> (StatusCode, Value) {
        let path = format!("/_matrix/federation/v1/get_missing_events/{}", self.room);
        self.b.ask_with(&self.a, "POST", &path, Some(&body)).await
    }

    /// Every request that names an event of the room.
    async fn all(&self, event: &OwnedEventId) -> Vec<(StatusCode, Value)> {
        let room = &self.room;
        vec![
            self.get(&format!("state/{room}?event_id={event}")).await,
            self.get(&format!("state_ids/{room}?event_id={event}"))
                .await,
            self.get(&format!("event_auth/{room}/{event}")).await,
            self.get(&format!("backfill/{room}?v={event}&limit=5"))
                .await,
            self.missing(json!({ "earliest_events": [], "latest_events": [event] }))
                .await,
        ]
    }
}

fn bodies(pdus: &Value) -> Vec<&str> {
    let pdus = pdus.as_array().expect("a list").iter();
    let messages = pdus.filter(|pdu| pdu["type"] == json!("m.room.message"));
    messages
        .map(|pdu| pdu["content"]["body"].as_str().unwrap_or("(redacted)"))
        .collect()
}

#[tokio::test]
async fn a_server_in_the_room_reads_it() {
    let scene = scene().await;
    let room = &scene.room;
    join(&scene.b, &scene.a, room, &scene.bob).await;
    let ids = [
        scene.say("one").await,
        scene.say("two").await,
        scene.say("three").await,
    ];
    let [one, two, three] = &ids;

    let (status, event) = scene.get(&format!("event/{three}")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&event["origin"], bodies(&event["pdus"])),
        (&json!("a.test"), vec!["three"])
    );

    let (_, page) = scene
        .get(&format!("backfill/{room}?v={three}&limit=2"))
        .await;
    assert_eq!(bodies(&page["pdus"]), ["three", "two"]);

    let missing = json!({ "earliest_events": [one], "latest_events": [three] });
    let (_, events) = scene.missing(missing).await;
    assert_eq!(bodies(&events["events"]), ["two"]);
    let missing = json!({ "earliest_events": [], "latest_events": [three], "limit": 2 });
    let (_, events) = scene.missing(missing).await;
    assert_eq!(bodies(&events["events"]), ["one", "two"]);
    let missing = json!({ "earliest_events": [], "latest_events": [three], "min_depth": 10_000 });
    assert_eq!(
        scene.missing(missing).await,
        (StatusCode::OK, json!({ "events": [] }))
    );

    let (_, state) = scene.get(&format!("state/{room}?event_id={two}")).await;
    let member = |user: &OwnedUserId| ("m.room.member".to_owned(), user.to_string());
    let pairs_of_state = pairs(&state["pdus"]);
    assert!(pairs_of_state.contains(&member(&scene.alice)));
    assert!(pairs_of_state.contains(&member(&scene.bob)));
    let (_, named) = scene.get(&format!("state_ids/{room}?event_id={two}")).await;
    let count = |value: &Value| value.as_array().map(Vec::len);
    assert_eq!(count(&named["pdu_ids"]), count(&state["pdus"]));
    assert_eq!(count(&named["auth_chain_ids"]), count(&state["auth_chain"]));

    let (_, auth) = scene.get(&format!("event_auth/{room}/{two}")).await;
    let chain = pairs(&auth["auth_chain"]);
    assert!(chain.contains(&member(&scene.alice)) && !chain.contains(&member(&scene.bob)));
}

#[tokio::test]
async fn a_server_outside_learns_nothing() {
    let scene = scene().await;
    let event = scene.say("secret").await;
    let outside = async || {
        for (at, answer) in scene.all(&event).await.iter().enumerate() {
            assert_eq!(refused(answer), (403, "M_FORBIDDEN".to_owned()), "{at}");
        }
        let answer = scene.get(&format!("event/{event}")).await;
        assert_eq!(refused(&answer), (404, "M_NOT_FOUND".to_owned()));
    };
    outside().await;
    join(&scene.b, &scene.a, &scene.room, &scene.bob).await;
    for (at, answer) in scene.all(&event).await.iter().enumerate() {
        assert_eq!(answer.0, StatusCode::OK, "{at}: {}", answer.1);
    }
    let kick = scene
        .a
        .rooms
        .change(&scene.room, &scene.alice, &scene.bob, Change::Kick);
    kick.await.expect("she may");
    outside().await;
    let unknown = scene
        .get(&format!("state/!unknown:a.test?event_id={event}"))
        .await;
    assert_eq!(refused(&unknown), (403, "M_FORBIDDEN".to_owned()));
}

#[tokio::test]
async fn an_excluded_server_gets_nothing_although_its_users_are_members() {
    let scene = scene().await;
    join(&scene.b, &scene.a, &scene.room, &scene.bob).await;
    let acl = acl_without("b.test");
    let set = scene
        .a
        .rooms
        .set(&scene.room, &scene.alice, "m.room.server_acl", "", acl);
    set.await.expect("she may");
    let event = scene.say("secret").await;
    let mut answers = scene.all(&event).await;
    answers.push(scene.get(&format!("event/{event}")).await);
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!(refused(answer), (403, "M_FORBIDDEN".to_owned()), "{at}");
    }
}

#[tokio::test]
async fn events_from_before_the_join_are_redacted_where_history_is_for_members() {
    for (visibility, expected) in [
        ("joined", ["(redacted)", "after"]),
        ("invited", ["(redacted)", "after"]),
        ("shared", ["before", "after"]),
        ("world_readable", ["before", "after"]),
    ] {
        let scene = scene().await;
        let kind = "m.room.history_visibility";
        let content = json!({ "history_visibility": visibility });
        let set = scene
            .a
            .rooms
            .set(&scene.room, &scene.alice, kind, "", content);
        set.await.expect("she may");
        let before = scene.say("before").await;
        join(&scene.b, &scene.a, &scene.room, &scene.bob).await;
        let after = scene.say("after").await;

        let path = format!("backfill/{}?v={after}&limit=50", scene.room);
        let (_, page) = scene.get(&path).await;
        let mut read = bodies(&page["pdus"]);
        read.reverse();
        assert_eq!(read, expected, "{visibility}");
        let (_, event) = scene.get(&format!("event/{before}")).await;
        assert_eq!(bodies(&event["pdus"]), [expected[0]], "{visibility}");
        let latest = json!({ "earliest_events": [], "latest_events": [after], "limit": 50 });
        let (_, events) = scene.missing(latest).await;
        assert_eq!(bodies(&events["events"]), [expected[0]], "{visibility}");
    }
}

#[tokio::test]
async fn hostile_requests_are_answered_within_bounds() {
    let scene = scene().await;
    join(&scene.b, &scene.a, &scene.room, &scene.bob).await;
    for count in 0..120 {
        scene.say(&count.to_string()).await;
    }
    let last = scene.say("last").await;
    let path = format!("backfill/{}?v={last}&limit=9007199254740991", scene.room);
    let (_, page) = scene.get(&path).await;
    assert_eq!(page["pdus"].as_array().map(Vec::len), Some(100));
    let many: Vec<String> = (0..2_000).map(|count| format!("$unknown{count}")).collect();
    let body = json!({ "earliest_events": many, "latest_events": [last], "limit": 1_000_000 });
    let (_, events) = scene.missing(body).await;
    assert_eq!(events["events"].as_array().map(Vec::len), Some(50));

    let unknown = scene
        .get(&format!("state/{}?event_id=$unknown", scene.room))
        .await;
    assert_eq!(refused(&unknown), (404, "M_NOT_FOUND".to_owned()));
    let elsewhere = scene.a.rooms.public_room(&scene.alice).await;
    let foreign = scene
        .a
        .rooms
        .say(&elsewhere, &scene.alice, "elsewhere")
        .await;
    let foreign = foreign.expect("she may").event_id;
    for answer in scene.all(&foreign).await.iter().take(3) {
        assert_eq!(
            refused(answer),
            (404, "M_NOT_FOUND".to_owned()),
            "an event of another room"
        );
    }
    let (_, page) = scene
        .get(&format!("backfill/{}?v={foreign}&limit=5", scene.room))
        .await;
    assert_eq!(page["pdus"], json!([]));
}

#[tokio::test]
async fn the_directory_is_open_to_other_servers() {
    let scene = scene().await;
    let (status, page) = scene.get("publicRooms?limit=10").await;
    assert_eq!((status, &page["chunk"]), (StatusCode::OK, &json!([])));
    let alice = scene.a.users.snapshot().await.expect("a snapshot");
    let number = scene.a.users.number(&alice, &scene.alice).await;
    let number = number.expect("a read").expect("she is here");
    drop(alice);
    let public = rooms_writer::Visibility::Public;
    let directory = &scene.a.rooms.directory;
    let published = directory
        .publish(&scene.room, number, &scene.alice, public)
        .await;
    published.expect("she may");
    let alias = ruma::room_alias_id!("#tea:a.test");
    let named = directory.create_alias(alias, &scene.room, number).await;
    named.expect("it is free");

    let (_, page) = scene.get("publicRooms?limit=10").await;
    assert_eq!(page["chunk"][0]["room_id"], json!(scene.room));
    assert_eq!(page["total_room_count_estimate"], json!(1));
    let path = "/_matrix/federation/v1/publicRooms";
    let body = json!({ "filter": { "generic_search_term": "nothing" } });
    let (_, page) = scene.b.ask_with(&scene.a, "POST", path, Some(&body)).await;
    assert_eq!(page["chunk"], json!([]));

    let (_, found) = scene.get("query/directory?room_alias=%23tea:a.test").await;
    assert_eq!(
        found,
        json!({ "room_id": scene.room, "servers": ["a.test"] })
    );
    for alias in ["%23none:a.test", "%23tea:c.test"] {
        let answer = scene
            .get(&format!("query/directory?room_alias={alias}"))
            .await;
        assert_eq!(refused(&answer), (404, "M_NOT_FOUND".to_owned()), "{alias}");
    }
}
