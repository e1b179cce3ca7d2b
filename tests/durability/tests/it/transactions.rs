//! Transaction ids make repeated requests idempotent, also across restarts; they belong to one
//! device.

use futures_util::future::join_all;
use hyper::Method;
use serde_json::json;

use crate::client::{Client, escaped, text};
use crate::server::Home;

#[tokio::test]
async fn a_repeated_send_is_one_event_across_restarts() {
    let home = Home::new();
    let mut server = home.start().await;
    let alice = Client::register(&server, "alice").await;
    let room = alice.create_public_room().await;
    let first = alice.send(&room, "once").await;

    assert_eq!(alice.send(&room, "once").await, first);
    server.kill().await;
    let server = home.start().await;
    assert_eq!(alice.at(&server).send(&room, "once").await, first);
    server.stop().await;
    let server = home.start().await;
    let alice = alice.at(&server);
    assert_eq!(alice.send(&room, "once").await, first);

    let timeline = alice.messages(&room).await;
    assert_eq!(timeline.len(), 1, "{timeline:?}");
}

#[tokio::test]
async fn sends_repeated_at_the_same_time_are_one_event() {
    let home = Home::new();
    let server = home.start().await;
    let alice = Client::register(&server, "alice").await;
    let room = alice.create_public_room().await;

    for number in 0..20 {
        let body = format!("number{number}");
        let ids = join_all((0..8).map(|_| alice.send(&room, &body))).await;
        assert!(ids.iter().all(|id| id == &ids[0]), "{ids:?}");
    }

    assert_eq!(alice.messages(&room).await.len(), 20);
}

#[tokio::test]
async fn another_device_or_room_makes_another_event() {
    let home = Home::new();
    let server = home.start().await;
    let phone = Client::register(&server, "alice").await;
    let laptop = Client::login(&server, "alice").await;
    let room = phone.create_public_room().await;
    let other_room = phone.create_public_room().await;

    let first = phone.send(&room, "same").await;
    let second = laptop.send(&room, "same").await;
    let third = phone.send(&other_room, "same").await;

    assert_ne!(first, second);
    assert_ne!(first, third);
    assert_eq!(phone.messages(&room).await.len(), 2);
}

#[tokio::test]
async fn a_repeated_redaction_is_one_event_across_a_kill() {
    let home = Home::new();
    let mut server = home.start().await;
    let alice = Client::register(&server, "alice").await;
    let room = alice.create_public_room().await;
    let message = alice.send(&room, "mistake").await;
    let path = format!(
        "/v3/rooms/{}/redact/{}/r1",
        escaped(&room),
        escaped(&message)
    );
    let redact = async |client: &Client| {
        let answer = client
            .put(&path, &json!({}))
            .await
            .expect("the server runs");
        text(&answer.expect_ok()["event_id"])
    };

    let first = redact(&alice).await;
    server.kill().await;
    let server = home.start().await;
    let alice = alice.at(&server);
    assert_eq!(redact(&alice).await, first);

    let timeline = alice.timeline(&room).await;
    let redactions = timeline
        .iter()
        .filter(|event| event.kind == "m.room.redaction")
        .count();
    assert_eq!(redactions, 1);
    let gone = timeline
        .iter()
        .find(|event| event.id == message)
        .expect("it is still listed");
    assert_eq!(gone.body, "");
}

#[tokio::test]
async fn a_server_that_was_stopped_answers_again_at_once() {
    let home = Home::new();
    let server = home.start().await;
    let alice = Client::register(&server, "alice").await;
    server.stop().await;

    let server = home.start().await;

    let whoami = server
        .http()
        .ask(Method::GET, "/v3/account/whoami", None, None)
        .await;
    assert_eq!(whoami.expect("the server runs").status, 401);
    assert_eq!(
        alice.at(&server).read("/v3/account/whoami").await["user_id"],
        alice.user
    );
}
