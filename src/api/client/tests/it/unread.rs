//! Unread counts and what was notified of, with receipts and threads.

use http::StatusCode;
use protocol::push::BodyMentions;
use serde_json::{Value, json};

use crate::{
    person::User,
    server::{TestOptions, TestServer},
};

async fn say(user: &User, room: &str, content: Value) -> String {
    send(user, room, "m.room.message", content).await
}

async fn send(user: &User, room: &str, kind: &str, content: Value) -> String {
    let transaction = user.server.transaction();
    let path = format!("/v3/rooms/{room}/send/{kind}/{transaction}");
    let answer = user.put(&path, content).await.expect_ok();
    answer["event_id"].as_str().expect("an id").to_owned()
}

async fn read(user: &User, room: &str, kind: &str, event: &str, body: Value) {
    let path = format!("/v3/rooms/{room}/receipt/{kind}/{event}");
    user.post(&path, body).await.expect_ok();
}

/// Notifications and highlights of the room, and of a thread where they are told apart.
async fn unread(user: &User, room: &str, thread: Option<&str>) -> Value {
    let filter = match thread {
        Some(_) => {
            "&filter=%7B%22room%22:%7B%22timeline%22:%7B%22unread_thread_notifications%22:true%7D%7D%7D"
        }
        None => "",
    };
    let answer = user.get(&format!("/v3/sync?timeout=0{filter}")).await;
    let answer = answer.expect_ok();
    let room = &answer["rooms"]["join"][room];
    let pair = |counts: &Value| json!([counts["notification_count"], counts["highlight_count"]]);
    let whole = pair(&room["unread_notifications"]);
    match thread {
        Some(root) => json!([whole, pair(&room["unread_thread_notifications"][root])]),
        None => whole,
    }
}

/// A room that the first made and the second joined.
async fn room_of(creator: &User, member: &User) -> String {
    let room = creator.create_room("public_chat").await;
    member.join(&room).await.expect_ok();
    room
}

async fn with_body_mentions() -> TestServer {
    TestServer::with(TestOptions {
        body_mentions: BodyMentions::Notify,
        ..TestOptions::default()
    })
    .await
}

fn text(body: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body })
}

fn related(body: &str, kind: &str, to: &str) -> Value {
    json!({ "msgtype": "m.text", "body": body, "m.relates_to": { "rel_type": kind, "event_id": to } })
}

#[tokio::test]
#[expect(
    clippy::many_single_char_names,
    reason = "the events have the names of Complement's test"
)]
async fn threads_are_counted_and_read_apart() {
    let server = with_body_mentions().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = room_of(&alice, &bob).await;
    let a = say(&alice, &room, text("Hello world!")).await;
    let b = say(&alice, &room, related("Start thread!", "m.thread", &a)).await;
    let mention = format!("Thread response {}!", bob.user_id);
    say(&alice, &room, related(&mention, "m.thread", &a)).await;
    let d = say(&alice, &room, text(&format!("Hello {}!", bob.user_id))).await;
    say(&alice, &room, related("End thread", "m.thread", &a)).await;
    let f = say(&alice, &room, related("Reference!", "m.reference", &a)).await;
    let annotation = json!({
        "m.relates_to": { "event_id": f, "rel_type": "m.annotation", "key": "test" },
    });
    let g = send(&alice, &room, "m.room.reaction", annotation).await;

    let none = json!([null, null]);
    assert_eq!(unread(&bob, &room, None).await, json!([6, 2]));
    assert_eq!(unread(&bob, &room, Some(&a)).await, json!([[3, 1], [3, 1]]));

    read(&bob, &room, "m.read", &a, json!({ "thread_id": "main" })).await;
    assert_eq!(unread(&bob, &room, None).await, json!([5, 2]));
    assert_eq!(unread(&bob, &room, Some(&a)).await, json!([[2, 1], [3, 1]]));

    read(&bob, &room, "m.read", &b, json!({ "thread_id": a })).await;
    assert_eq!(unread(&bob, &room, None).await, json!([4, 2]));
    assert_eq!(unread(&bob, &room, Some(&a)).await, json!([[2, 1], [2, 1]]));

    read(&bob, &room, "m.read", &d, json!({})).await;
    assert_eq!(unread(&bob, &room, None).await, json!([2, 0]));
    assert_eq!(unread(&bob, &room, Some(&a)).await, json!([[1, 0], [1, 0]]));

    // What relates to the root belongs to the thread, as far as receipts go.
    read(&bob, &room, "m.read", &g, json!({ "thread_id": a })).await;
    assert_eq!(unread(&bob, &room, None).await, json!([1, 0]));
    assert_eq!(unread(&bob, &room, Some(&a)).await, json!([[1, 0], none]));
}

#[tokio::test]
async fn names_in_bodies_are_mentions_only_where_it_is_set_so() {
    for (server, expected) in [
        (with_body_mentions().await, json!([5, 4])),
        (TestServer::new().await, json!([5, 1])),
    ] {
        let [alice, bob] = server.users(["alice", "bob"]).await;
        let name = format!("/v3/profile/{}/displayname", bob.user_id);
        bob.put(&name, json!({ "displayname": "Robert B." }))
            .await
            .expect_ok();
        let room = room_of(&alice, &bob).await;
        say(&alice, &room, text("hi Bob")).await;
        say(&alice, &room, text("hi robert b.")).await;
        say(&alice, &room, text("hi @room")).await;
        let silent = json!({ "body": "hi bob", "msgtype": "m.text", "m.mentions": {} });
        say(&alice, &room, silent).await;
        let intended = json!({
            "body": "hi", "msgtype": "m.text", "m.mentions": { "user_ids": [bob.user_id] },
        });
        say(&alice, &room, intended).await;
        assert_eq!(unread(&bob, &room, None).await, expected);
    }
}

#[tokio::test]
async fn a_private_receipt_clears_the_counts_and_is_told_to_nobody_else() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = room_of(&alice, &bob).await;
    let first = alice.send(&room, "first").await;
    let second = alice.send(&room, "second").await;
    read(&bob, &room, "m.read.private", &second, json!({})).await;
    assert_eq!(unread(&bob, &room, None).await, json!([0, 0]));
    // A public receipt that lags behind does not bring them back.
    read(&bob, &room, "m.read", &first, json!({})).await;
    assert_eq!(unread(&bob, &room, None).await, json!([0, 0]));

    let told = alice.sync(None).await["rooms"]["join"][&room]["ephemeral"].to_string();
    assert!(
        told.contains(&first) && !told.contains("m.read.private"),
        "{told}"
    );
    let own = bob.sync(None).await["rooms"]["join"][&room]["ephemeral"].to_string();
    assert!(own.contains("m.read.private"), "{own}");
}

#[tokio::test]
async fn receipts_that_make_no_sense_are_refused() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;
    let root = alice.send(&room, "root").await;
    let other = alice.send(&room, "other").await;
    let inside = say(&alice, &room, related("inside", "m.thread", &root)).await;
    let edit = say(&alice, &room, related("edit", "m.replace", &inside)).await;
    let receipt = |kind: &str, event: &str| format!("/v3/rooms/{room}/receipt/{kind}/{event}");
    for (kind, event, body) in [
        ("m.read", &root, json!({ "thread_id": "" })),
        ("m.read", &root, json!({ "thread_id": 3 })),
        ("m.read", &root, json!({ "thread_id": null })),
        ("m.read", &root, json!({ "thread_id": "somewhere" })),
        ("m.read", &other, json!({ "thread_id": root })),
        ("m.read", &inside, json!({ "thread_id": "main" })),
        ("m.read", &edit, json!({ "thread_id": "main" })),
        ("m.read", &inside, json!({ "thread_id": other })),
        ("m.fully_read", &root, json!({ "thread_id": "main" })),
        ("m.unknown", &root, json!({})),
    ] {
        let refused = alice.post(&receipt(kind, event), body.clone()).await;
        assert_eq!(refused.body["errcode"], "M_INVALID_PARAM", "{kind} {body}");
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    }
    for (event, thread) in [
        (&root, "main"),
        (&root, &*root),
        (&inside, &root),
        (&edit, &root),
    ] {
        let path = receipt("m.read", event);
        alice
            .post(&path, json!({ "thread_id": thread }))
            .await
            .expect_ok();
    }
    let no_body = server
        .request("POST", &receipt("m.read", &other), Some(&alice.token), None)
        .await;
    no_body.expect_ok();
    let outside = bob.post(&receipt("m.read", &root), json!({})).await;
    outside.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}

#[tokio::test]
async fn the_fully_read_marker_moves_forward_only_and_may_bring_receipts() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = room_of(&alice, &bob).await;
    let first = alice.send(&room, "first").await;
    let second = alice.send(&room, "second").await;
    let path = format!("/v3/rooms/{room}/read_markers");
    bob.post(&path, json!({ "m.fully_read": second, "m.read": first }))
        .await
        .expect_ok();
    read(&bob, &room, "m.fully_read", &first, json!({})).await;
    let marker = format!(
        "/v3/user/{}/rooms/{room}/account_data/m.fully_read",
        bob.user_id
    );
    let marker = bob.get(&marker).await.expect_ok();
    assert_eq!(marker, json!({ "event_id": second }));
    assert_eq!(unread(&bob, &room, None).await, json!([1, 0]));
    bob.post(&path, json!({ "m.read.private": second }))
        .await
        .expect_ok();
    assert_eq!(unread(&bob, &room, None).await, json!([0, 0]));
}

async fn notifications(user: &User, query: &str) -> Value {
    let answer = user.get(&format!("/v3/notifications?{query}")).await;
    answer.expect_ok()
}

fn bodies(answer: &Value) -> Vec<String> {
    let told = answer["notifications"].as_array().expect("a list");
    let body = |told: &Value| told["event"]["content"]["body"].as_str().map(str::to_owned);
    told.iter().filter_map(body).collect()
}

#[tokio::test]
async fn notifications_are_told_newest_first_by_pages() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let mut rooms = Vec::new();
    for _ in 0..2 {
        let room = room_of(&alice, &bob).await;
        rooms.push(room);
    }
    for at in 0..6 {
        alice.send(&rooms[at % 2], &format!("message {at}")).await;
        bob.send(&rooms[at % 2], &format!("own {at}")).await;
    }
    let first = notifications(&bob, "limit=4").await;
    let expected: Vec<String> = (2..6).rev().map(|at| format!("message {at}")).collect();
    assert_eq!(bodies(&first), expected);
    let one = &first["notifications"][0];
    assert_eq!(one["room_id"], rooms[1].as_str());
    assert_eq!(one["actions"][0], "notify");
    assert_eq!(one["read"], false);
    assert_eq!(one["ts"], one["event"]["origin_server_ts"]);
    assert!(one["event"].get("room_id").is_none());

    let from = first["next_token"].as_str().expect("there is more");
    let second = notifications(&bob, &format!("from={from}&limit=4")).await;
    assert_eq!(bodies(&second), ["message 1", "message 0"]);
    assert!(second.get("next_token").is_none(), "{second}");
    let bad = bob.get("/v3/notifications?from=bogus").await;
    bad.expect_error(StatusCode::BAD_REQUEST, "M_INVALID_PARAM");
}

#[tokio::test]
async fn notifications_follow_receipts_redactions_and_leaving() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;
    alice.send(&room, "before the join").await;
    bob.join(&room).await.expect_ok();
    let gone = alice.send(&room, "redacted").await;
    let read_one = alice.send(&room, "read").await;
    let loud = json!({
        "body": "loud", "msgtype": "m.text", "m.mentions": { "user_ids": [bob.user_id] },
    });
    say(&alice, &room, loud).await;
    let redact = format!("/v3/rooms/{room}/redact/{gone}/1");
    alice.put(&redact, json!({})).await.expect_ok();
    read(&bob, &room, "m.read", &read_one, json!({})).await;

    let told = notifications(&bob, "").await;
    assert_eq!(bodies(&told), ["loud", "read"]);
    let flags = json!([
        told["notifications"][0]["read"],
        told["notifications"][1]["read"]
    ]);
    assert_eq!(flags, json!([false, true]));
    let highlights = notifications(&bob, "only=highlight").await;
    assert_eq!(bodies(&highlights), ["loud"]);

    bob.leave(&room).await.expect_ok();
    alice.send(&room, "after the leave").await;
    assert_eq!(bodies(&notifications(&bob, "").await), ["loud", "read"]);
    let forget = format!("/v3/rooms/{room}/forget");
    bob.post(&forget, json!({})).await.expect_ok();
    assert!(bodies(&notifications(&bob, "").await).is_empty());
}

#[tokio::test]
async fn an_invite_is_a_notification() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("private_chat").await;
    alice.send(&room, "nothing of his").await;
    alice.invite(&bob, &room).await.expect_ok();

    let told = notifications(&bob, "").await;

    assert_eq!(
        told["notifications"][0]["event"]["content"]["membership"],
        "invite"
    );
    assert_eq!(told["notifications"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_rule_counts_from_when_it_is_made() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = room_of(&alice, &bob).await;
    let first = alice.send(&room, "first").await;
    let mute = format!("/v3/pushrules/global/room/{room}");
    bob.put(&mute, json!({ "actions": [] })).await.expect_ok();
    alice.send(&room, "second").await;
    bob.delete(&mute).await.expect_ok();
    let third = alice.send(&room, "third").await;
    assert_eq!(unread(&bob, &room, None).await, json!([2, 0]));
    assert_eq!(bodies(&notifications(&bob, "").await), ["third", "first"]);

    // Counted again after a receipt, and after a redaction, the rules of then still hold.
    read(&bob, &room, "m.read", &first, json!({})).await;
    assert_eq!(unread(&bob, &room, None).await, json!([1, 0]));
    let redact = format!("/v3/rooms/{room}/redact/{third}/1");
    alice.put(&redact, json!({})).await.expect_ok();
    assert_eq!(unread(&bob, &room, None).await, json!([0, 0]));
}

#[tokio::test]
async fn made_up_threads_count_in_the_room() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;
    bob.join(&room).await.expect_ok();
    for root in ["$missing".to_owned(), "x".repeat(60_000)] {
        say(&alice, &room, related("a", "m.thread", &root)).await;
    }
    let filter =
        "%7B%22room%22:%7B%22timeline%22:%7B%22unread_thread_notifications%22:true%7D%7D%7D";
    let path = format!("/v3/sync?timeout=0&filter={filter}");
    let synced = bob.get(&path).await.expect_ok();
    let counts = &synced["rooms"]["join"][&room];
    assert_eq!(counts["unread_notifications"]["notification_count"], 2);
    assert!(
        counts["unread_thread_notifications"]
            .as_object()
            .is_none_or(serde_json::Map::is_empty)
    );
}

#[tokio::test]
async fn threads_beyond_a_number_count_in_the_room() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;
    bob.join(&room).await.expect_ok();
    for number in 0..170 {
        let root = say(
            &alice,
            &room,
            json!({ "msgtype": "m.text", "body": number.to_string() }),
        );
        let root = root.await;
        say(&alice, &room, related("a", "m.thread", &root)).await;
    }
    let filter =
        "%7B%22room%22:%7B%22timeline%22:%7B%22unread_thread_notifications%22:true%7D%7D%7D";
    let path = format!("/v3/sync?timeout=0&filter={filter}");
    let synced = bob.get(&path).await.expect_ok();
    let counts = &synced["rooms"]["join"][&room];
    assert_eq!(
        counts["unread_notifications"]["notification_count"],
        170 + 20
    );
    let threads = counts["unread_thread_notifications"].as_object();
    assert_eq!(threads.map(serde_json::Map::len), Some(150));
    assert_eq!(unread(&bob, &room, None).await, json!([340, 0]));
}
