//! Endpoints of rooms: forms of requests, statuses and errcodes. What rooms do is tested in the rooms crate.

use http::StatusCode;
use serde_json::json;

use crate::server::TestServer;

#[tokio::test]
async fn who_may_not_read_a_room_is_told_so_before_what_is_missing() {
    let server = TestServer::new().await;
    let [alice, mallory] = server.users(["alice", "mallory"]).await;
    let room = alice.create_room("private_chat").await;
    let path = format!("/v3/rooms/{room}/messages");

    mallory
        .get(&path)
        .await
        .expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    alice
        .get(&path)
        .await
        .expect_error(StatusCode::BAD_REQUEST, "M_MISSING_PARAM");
    let wrong = format!("{path}?dir=x");
    alice
        .get(&wrong)
        .await
        .expect_error(StatusCode::BAD_REQUEST, "M_INVALID_PARAM");
    let unknown = "/v3/rooms/!nowhere:example.org/messages?dir=b";
    alice
        .get(unknown)
        .await
        .expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_page_of_messages_says_where_it_began_and_where_to_go_on() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;
    for text in ["one", "two", "three"] {
        alice.send(&room, text).await;
    }
    let path = format!("/v3/rooms/{room}/messages?dir=b&limit=2");

    let first = alice.get(&path).await.expect_ok();
    let end = first["end"].as_str().expect("there is more");
    let second = alice.get(&format!("{path}&from={end}")).await.expect_ok();

    let bodies = |page: &serde_json::Value| {
        let chunk = page["chunk"].as_array().expect("a chunk").clone();
        chunk
            .iter()
            .map(|event| event["content"]["body"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(bodies(&first), ["three", "two"]);
    assert_eq!(bodies(&second)[0], "one");
    assert_eq!(second["start"], end);
    assert_eq!(first["chunk"][0]["room_id"], room.as_str());
}

#[tokio::test]
async fn unknown_keys_of_a_join_go_into_the_member_event() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;

    bob.post(&format!("/v3/join/{room}"), json!({ "foo": "bar" }))
        .await
        .expect_ok();

    let member = format!("/v3/rooms/{room}/state/m.room.member/{}", bob.user_id);
    let content = alice.get(&member).await.expect_ok();
    assert_eq!(
        (&content["foo"], &content["membership"]),
        (&json!("bar"), &json!("join"))
    );
}

#[tokio::test]
async fn joined_members_have_names_and_avatars_even_if_they_are_null() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;
    let path = format!("/v3/rooms/{room}/joined_members");

    let joined = alice.get(&path).await.expect_ok();

    let profile = joined["joined"][&alice.user_id]
        .as_object()
        .expect("a profile")
        .clone();
    assert!(profile.contains_key("display_name") && profile["avatar_url"].is_null());
    bob.get(&path)
        .await
        .expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_state_key_may_be_left_out_in_every_way() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;
    for (version, end) in [("r0", ""), ("v3", ""), ("v3", "/")] {
        let path = format!("/{version}/rooms/{room}/state/m.room.name{end}");
        alice.put(&path, json!({ "name": path })).await.expect_ok();

        let content = alice.get(&path).await.expect_ok();
        assert_eq!(content["name"], path.as_str());
    }
    let event = alice
        .get(&format!("/v3/rooms/{room}/state/m.room.name?format=event"))
        .await;
    assert_eq!(event.expect_ok()["sender"], alice.user_id.as_str());
    let nothing = alice
        .get(&format!("/v3/rooms/{room}/state/m.room.nothing"))
        .await;
    nothing.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
}

#[tokio::test]
async fn the_create_event_of_version_12_has_its_room_id_for_clients() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let created = alice
        .post("/v3/createRoom", json!({ "room_version": "12" }))
        .await
        .expect_ok();
    let room = created["room_id"].as_str().expect("a room id");
    let create = format!("/v3/rooms/{room}/event/${}", &room[1..]);

    let event = alice.get(&create).await.expect_ok();
    let context = create.replace("/event/", "/context/");
    let context = alice.get(&context).await.expect_ok();

    assert_eq!(
        (&event["type"], &event["room_id"]),
        (&json!("m.room.create"), &json!(room))
    );
    assert_eq!(context["event"]["room_id"], room);
    assert!(context["start"].is_string() && context["end"].is_string());
}

#[tokio::test]
async fn a_room_version_must_be_text_and_known() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;

    let number = alice
        .post("/v3/createRoom", json!({ "room_version": 1 }))
        .await;
    let unknown = alice
        .post("/v3/createRoom", json!({ "room_version": "nonsense" }))
        .await;

    number.expect_error(StatusCode::BAD_REQUEST, "M_BAD_JSON");
    unknown.expect_error(StatusCode::BAD_REQUEST, "M_UNSUPPORTED_ROOM_VERSION");
}

#[tokio::test]
async fn aliases_have_errcodes_of_their_own() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;
    let name = format!(
        "#lobby:{}",
        alice.user_id.split_once(':').expect("a server name").1
    );
    let path = format!("/v3/directory/room/{}", name.replace('#', "%23"));
    let canonical = format!("/v3/rooms/{room}/state/m.room.canonical_alias");

    alice
        .get(&path)
        .await
        .expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
    let missing = alice.put(&canonical, json!({ "alias": name })).await;
    missing.expect_error(StatusCode::BAD_REQUEST, "M_BAD_ALIAS");
    let invalid = alice.put(&canonical, json!({ "alias": "%lobby" })).await;
    invalid.expect_error(StatusCode::BAD_REQUEST, "M_INVALID_PARAM");
    alice
        .put(&path, json!({ "room_id": room }))
        .await
        .expect_ok();
    let taken = alice.put(&path, json!({ "room_id": room })).await;
    taken.expect_error(StatusCode::CONFLICT, "M_UNKNOWN");
    let in_use = alice
        .post("/v3/createRoom", json!({ "room_alias_name": "lobby" }))
        .await;
    in_use.expect_error(StatusCode::BAD_REQUEST, "M_ROOM_IN_USE");
    alice
        .put(&canonical, json!({ "alias": name }))
        .await
        .expect_ok();
    let aliases = alice
        .get(&format!("/v3/rooms/{room}/aliases"))
        .await
        .expect_ok();
    assert_eq!(aliases["aliases"], json!([name]));
    alice.delete(&path).await.expect_ok();

    assert_eq!(alice.get(&canonical).await.expect_ok(), json!({}));
}

#[tokio::test]
async fn only_who_has_left_can_forget() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;
    let path = format!("/v3/rooms/{room}/forget");

    alice
        .post(&path, json!({}))
        .await
        .expect_error(StatusCode::BAD_REQUEST, "M_UNKNOWN");
    alice.leave(&room).await.expect_ok();
    alice.post(&path, json!({})).await.expect_ok();
    let messages = alice.get(&format!("/v3/rooms/{room}/messages?dir=b")).await;
    messages.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}

#[tokio::test]
async fn the_directory_shows_published_rooms_to_everybody() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let request = json!({ "visibility": "public", "name": "Wombles", "topic": "Burrow" });
    let room = alice.post("/v3/createRoom", request).await.expect_ok()["room_id"].clone();

    let all = server.get("/v3/publicRooms").await.expect_ok();
    let term = json!({ "filter": { "generic_search_term": "burROW" } });
    let found = alice.post("/v3/publicRooms", term).await.expect_ok();
    let none = json!({ "filter": { "generic_search_term": "castle" } });
    let none = alice.post("/v3/publicRooms", none).await.expect_ok();

    assert_eq!(all["chunk"][0]["room_id"], room);
    assert_eq!(all["chunk"][0]["num_joined_members"], 1);
    assert_eq!(found["chunk"][0]["name"], "Wombles");
    assert_eq!(none["chunk"], json!([]));
}

#[tokio::test]
async fn receipts_and_typing_refuse_what_makes_no_sense() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;
    let event = alice.send(&room, "hello").await;
    let path = format!("/v3/rooms/{room}/receipt/m.read/{event}");

    alice.post(&path, json!({})).await.expect_ok();
    alice
        .post(&path, json!({ "thread_id": "main" }))
        .await
        .expect_ok();
    let empty = alice.post(&path, json!({ "thread_id": "" })).await;
    assert_eq!(empty.status, StatusCode::BAD_REQUEST);
    bob.post(&path, json!({}))
        .await
        .expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    let typing = format!("/v3/rooms/{room}/typing/{}", bob.user_id);
    let others = alice
        .put(&typing, json!({ "typing": true, "timeout": 1000 }))
        .await;
    others.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}

#[tokio::test]
async fn what_was_redacted_shows_its_redaction() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("public_chat").await;
    let event = alice.send(&room, "a secret").await;

    let redact = format!("/v3/rooms/{room}/redact/{event}/t1");
    let sent = alice
        .put(&redact, json!({ "reason": "spam" }))
        .await
        .expect_ok();
    let again = alice
        .put(&redact, json!({ "reason": "spam" }))
        .await
        .expect_ok();

    let seen = alice
        .get(&format!("/v3/rooms/{room}/event/{event}"))
        .await
        .expect_ok();
    assert_eq!(sent, again);
    assert_eq!(seen["content"], json!({}));
    let because = &seen["unsigned"]["redacted_because"];
    assert_eq!(
        (&because["event_id"], &because["redacts"]),
        (&sent["event_id"], &json!(event))
    );
    assert_eq!(because["content"]["redacts"], json!(event));
}

#[tokio::test]
async fn messages_are_filtered_by_their_relations() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("public_chat").await;
    let root = alice.send(&room, "root").await;
    let mut related = Vec::new();
    for kind in ["m.thread", "m.reference"] {
        let path = format!("/v3/rooms/{room}/send/m.room.message/{kind}");
        let relation = json!({ "event_id": root, "rel_type": kind });
        let content = json!({ "msgtype": "m.text", "body": kind, "m.relates_to": relation });
        let sent = alice.put(&path, content).await.expect_ok();
        related.push(sent["event_id"].clone());
    }
    let of = async |filter: &str| {
        let path = format!("/v3/rooms/{room}/messages?dir=f&limit=100&filter={filter}");
        let page = alice.get(&path).await.expect_ok();
        let chunk = page["chunk"].as_array().expect("a list").clone();
        let messages = chunk
            .into_iter()
            .filter(|event| event["type"] == "m.room.message");
        messages
            .map(|event| event["event_id"].clone())
            .collect::<Vec<_>>()
    };
    let threads = "%7B%22org.matrix.msc3874.rel_types%22:%5B%22m.thread%22%5D%7D";
    assert_eq!(of(threads).await, related[..1]);
    let others = "%7B%22org.matrix.msc3874.not_rel_types%22:%5B%22m.thread%22%5D%7D";
    assert_eq!(of(others).await, [json!(root), related[1].clone()]);
}
