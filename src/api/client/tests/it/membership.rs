//! Endpoints of membership, one story each.

use database::StoreError;
use http::StatusCode;
use serde_json::json;

use crate::server::TestServer;

#[tokio::test]
async fn a_banned_user_cannot_rejoin_until_the_ban_is_lifted() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;
    bob.join(&room).await.expect_ok();

    alice.ban(&bob, &room).await.expect_ok();
    bob.join(&room)
        .await
        .expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    alice.unban(&bob, &room).await.expect_ok();
    bob.join(&room).await.expect_ok();
}

#[tokio::test]
async fn who_is_invited_and_then_kicked_is_out() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("private_chat").await;

    alice.invite(&bob, &room).await.expect_ok();
    let invites = bob.sync(None).await;
    assert!(invites["rooms"]["invite"][&room].is_object());
    alice.kick(&bob, &room).await.expect_ok();

    bob.join(&room)
        .await
        .expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}

#[tokio::test]
async fn only_who_has_the_power_names_a_room() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;
    bob.join(&room).await.expect_ok();
    let name = json!({ "name": "Kitchen" });

    let refused = bob.set_state(&room, "m.room.name", "", name.clone()).await;
    refused.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    let first = alice
        .set_state(&room, "m.room.name", "", name.clone())
        .await;
    let again = alice.set_state(&room, "m.room.name", "", name).await;

    assert_eq!(first.expect_ok()["event_id"], again.expect_ok()["event_id"]);
}

#[tokio::test]
async fn a_disk_that_refuses_is_told_and_nothing_is_there() {
    let server = TestServer::new().await;
    let [alice] = server.users(["alice"]).await;
    let room = alice.create_room("public_chat").await;
    let before = alice.sync(None).await;
    let full = StoreError::Unavailable("disk full".to_owned());
    server.memory.faults().fail_next(1, &full);

    let path = format!("/v3/rooms/{room}/send/m.room.message/1");
    let refused = alice
        .put(&path, json!({ "msgtype": "m.text", "body": "lost" }))
        .await;

    assert!(refused.status.is_server_error());
    let since = before["next_batch"].as_str();
    let after = alice.sync(since).await;
    assert!(after["rooms"]["join"][&room].is_null());
}
