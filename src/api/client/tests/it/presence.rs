//! Presence and online counts through the router: who may see what, and what acts at once.

use std::time::Duration;

use http::StatusCode;
use presence::PresenceConfig;
use serde_json::{Value, json};

use crate::{
    person::User,
    server::{TestOptions, TestServer},
};

fn status_path(user: &User) -> String {
    format!("/v3/presence/{}/status", user.user_id)
}

async fn status(reader: &User, of: &User) -> Value {
    reader.get(&status_path(of)).await.expect_ok()
}

async fn online(reader: &User, room: &str, query: &str) -> Value {
    let path = format!("/unstable/chat.aqueduct.online/rooms/{room}{query}");
    reader.get(&path).await.expect_ok()
}

async fn room_of(people: &[User]) -> String {
    let room = people[0].create_room("public_chat").await;
    for person in &people[1..] {
        person.join(&room).await.expect_ok();
    }
    room
}

#[tokio::test]
async fn a_status_is_shown_to_those_who_share_a_room() {
    let server = TestServer::new().await;
    let people = server.users(["alice", "bob", "mallory"]).await;
    let [alice, bob, mallory] = &people;
    room_of(&people[..2]).await;
    assert_eq!(status(bob, alice).await, json!({ "presence": "offline" }));
    let busy = json!({ "presence": "org.matrix.msc3026.busy", "status_msg": "on the phone" });
    alice.put(&status_path(alice), busy).await.expect_ok();
    let shown = status(bob, alice).await;
    assert_eq!(shown["presence"], "org.matrix.msc3026.busy");
    assert_eq!(shown["status_msg"], "on the phone");
    assert_eq!(shown["currently_active"], true);
    assert_eq!(shown["last_active_ago"], 0);
    // Without a message, the old one goes.
    let online = json!({ "presence": "online" });
    alice.put(&status_path(alice), online).await.expect_ok();
    assert_eq!(status(alice, alice).await.get("status_msg"), None);

    let refused = mallory.get(&status_path(alice)).await;
    refused.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    let nobody = "/v3/presence/@nobody:example.org/status";
    let refused = mallory.get(nobody).await;
    refused.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    let path = status_path(alice);
    let refused = mallory.put(&path, json!({ "presence": "offline" })).await;
    refused.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}

#[tokio::test]
async fn wrong_and_overlong_states_are_refused() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    for body in [
        json!({ "presence": "asleep" }),
        json!({ "presence": "online", "status_msg": "x".repeat(1025) }),
    ] {
        let refused = alice.put(&status_path(&alice), body).await;
        refused.expect_error(StatusCode::BAD_REQUEST, "M_INVALID_PARAM");
    }
    assert_eq!(
        status(&alice, &alice).await,
        json!({ "presence": "offline" })
    );
    let refused = alice.get("/v3/sync?set_presence=asleep").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn syncs_make_a_user_online_and_sends_and_logins_do_not() {
    let server = TestServer::new().await;
    let people = server.users(["alice", "bob"]).await;
    let [alice, bob] = &people;
    let room = room_of(&people).await;
    alice.send(&room, "hello").await;
    server.device(alice).await;
    assert_eq!(status(bob, alice).await["presence"], "offline");
    alice.get("/v3/sync?set_presence=offline").await.expect_ok();
    assert_eq!(status(bob, alice).await["presence"], "offline");
    alice
        .get("/v3/sync?set_presence=unavailable")
        .await
        .expect_ok();
    assert_eq!(status(bob, alice).await["presence"], "unavailable");
    alice.sync(None).await;
    assert_eq!(status(bob, alice).await["presence"], "online");
    server.clock.advance(Duration::from_millis(100));
    assert_eq!(status(bob, alice).await["last_active_ago"], 100);
}

#[tokio::test]
async fn counts_of_a_room_are_exact_after_each_request() {
    let server = TestServer::new().await;
    let people = server.users(["alice", "bob", "carol"]).await;
    let [alice, bob, carol] = &people;
    let room = room_of(&people[..2]).await;
    assert_eq!(
        online(alice, &room, "").await,
        json!({ "online": 0, "joined": 2 })
    );
    alice.sync(None).await;
    carol.sync(None).await;
    assert_eq!(
        online(bob, &room, "").await,
        json!({ "online": 1, "joined": 2 })
    );
    carol.join(&room).await.expect_ok();
    assert_eq!(
        online(bob, &room, "").await,
        json!({ "online": 2, "joined": 3 })
    );
    // A second device counts nobody twice.
    let tablet = server.device(alice).await;
    tablet.sync(None).await;
    assert_eq!(
        online(bob, &room, "").await,
        json!({ "online": 2, "joined": 3 })
    );
    alice.post("/v3/logout", json!({})).await.expect_ok();
    assert_eq!(
        online(bob, &room, "").await,
        json!({ "online": 2, "joined": 3 })
    );
    tablet.post("/v3/logout/all", json!({})).await.expect_ok();
    assert_eq!(
        online(bob, &room, "").await,
        json!({ "online": 1, "joined": 3 })
    );
    carol.leave(&room).await.expect_ok();
    assert_eq!(
        online(bob, &room, "").await,
        json!({ "online": 0, "joined": 2 })
    );
}

#[tokio::test]
async fn who_is_online_is_listed_in_pages() {
    let server = TestServer::new().await;
    let people = server.users(["carol", "alice", "bob", "dave"]).await;
    let room = room_of(&people).await;
    for person in &people[..3] {
        person.sync(None).await;
    }
    let first = online(&people[3], &room, "?users=true&limit=2").await;
    assert_eq!(
        first["users"],
        json!(["@alice:example.org", "@bob:example.org"])
    );
    let next = first["next"].as_str().expect("there is more");
    let rest = online(
        &people[3],
        &room,
        &format!("?users=true&limit=2&from={next}"),
    )
    .await;
    let expected = json!({ "online": 3, "joined": 4, "users": ["@carol:example.org"] });
    assert_eq!(rest, expected);
}

#[tokio::test]
async fn counts_are_for_members_and_for_readers_of_open_rooms() {
    let server = TestServer::new().await;
    let [alice, bob] = &server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;
    let path = format!("/unstable/chat.aqueduct.online/rooms/{room}");
    bob.get(&path)
        .await
        .expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    let unknown = "/unstable/chat.aqueduct.online/rooms/!nowhere:example.org";
    let refused = bob.get(unknown).await;
    refused.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    let open = json!({ "history_visibility": "world_readable" });
    let set = alice.set_state(&room, "m.room.history_visibility", "", open);
    set.await.expect_ok();
    assert_eq!(
        online(bob, &room, "").await,
        json!({ "online": 0, "joined": 1 })
    );
}

#[tokio::test]
async fn administrators_see_the_whole_server() {
    let server = TestServer::new().await;
    let people = server.users(["alice", "bob"]).await;
    let [alice, bob] = &people;
    let admin = crate::discovery::admin(&server, "root").await;
    let both = room_of(&people).await;
    let one = alice.create_room("public_chat").await;
    bob.create_room("private_chat").await;
    alice.sync(None).await;
    let path = "/unstable/chat.aqueduct.online/server";
    let refused = alice.get(path).await;
    refused.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    bob.sync(None).await;
    bob.post("/v3/logout", json!({})).await.expect_ok();
    alice.sync(None).await;
    let told = admin.get(path).await.expect_ok();
    assert_eq!(
        (&told["users"], &told["devices"], &told["connections"]),
        (&json!(1), &json!(0), &json!(0))
    );
    let bob = server.device(bob).await;
    bob.sync(None).await;
    let first = admin.get(&format!("{path}?limit=1")).await.expect_ok();
    assert_eq!(first["users"], 2);
    assert_eq!(first["rooms"], json!([{ "room_id": both, "online": 2 }]));
    let next = first["next"].as_str().expect("there is more");
    let rest = admin
        .get(&format!("{path}?limit=1&from={next}"))
        .await
        .expect_ok();
    assert_eq!(rest["rooms"], json!([{ "room_id": one, "online": 1 }]));
    let wrong = admin.get(&format!("{path}?from=nonsense")).await;
    wrong.expect_error(StatusCode::BAD_REQUEST, "M_INVALID_PARAM");
}

#[tokio::test]
async fn disabled_presence_shows_everybody_offline() {
    let options = TestOptions {
        presence: PresenceConfig {
            enabled: false,
            ..PresenceConfig::default()
        },
        ..TestOptions::default()
    };
    let server = TestServer::with(options).await;
    let alice = server.user("alice").await;
    let room = alice.create_room("public_chat").await;
    let body = json!({ "presence": "online", "status_msg": "here" });
    alice.put(&status_path(&alice), body).await.expect_ok();
    let synced = alice
        .get("/v3/sync?chat.aqueduct.online=true")
        .await
        .expect_ok();
    assert_eq!(synced.get("presence"), None);
    let joined = &synced["rooms"]["join"][&room];
    assert!(joined.is_object() && joined.get("chat.aqueduct.online").is_none());
    assert_eq!(
        status(&alice, &alice).await,
        json!({ "presence": "offline" })
    );
    for path in [format!("rooms/{room}"), "server".to_owned()] {
        let refused = alice
            .get(&format!("/unstable/chat.aqueduct.online/{path}"))
            .await;
        refused.expect_error(StatusCode::NOT_FOUND, "M_UNRECOGNIZED");
    }
}
