//! Profiles: what clients and their rooms see.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{account::wait_until, person::User, server::TestServer};

async fn set(user: &User, field: &str, value: Value) {
    let path = format!("/v3/profile/{}/{field}", user.user_id);
    let mut body = json!({});
    body[field] = value;
    user.put(&path, body).await.expect_ok();
}

#[tokio::test]
async fn everyone_reads_a_profile_and_its_user_alone_writes_it() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let path = |field: &str| format!("/v3/profile/{}/{field}", alice.user_id);
    set(&alice, "displayname", "Alice \"A\"".into()).await;
    set(&alice, "avatar_url", "mxc://example.org/a".into()).await;
    set(&alice, "m.tz", "Europe/Berlin".into()).await;
    set(&alice, "org.example.pets", json!({ "cats": 2 })).await;

    let whole = server
        .get(&format!("/v3/profile/{}", alice.user_id))
        .await
        .expect_ok();
    let expected = json!({
        "displayname": "Alice \"A\"",
        "avatar_url": "mxc://example.org/a",
        "m.tz": "Europe/Berlin",
        "org.example.pets": { "cats": 2 },
    });
    assert_eq!(whole, expected);
    let name = server.get(&path("displayname")).await.expect_ok();
    assert_eq!(name, json!({ "displayname": "Alice \"A\"" }));
    let pets = server.get(&path("org.example.pets")).await.expect_ok();
    assert_eq!(pets, json!({ "org.example.pets": { "cats": 2 } }));

    let stolen = bob
        .put(&path("displayname"), json!({ "displayname": "x" }))
        .await;
    stolen.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    let stolen = bob.delete(&path("displayname")).await;
    stolen.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}

#[tokio::test]
async fn fields_are_deleted() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let not_found = StatusCode::NOT_FOUND;
    for (field, nothing) in [("displayname", json!("")), ("avatar_url", json!(""))] {
        let path = format!("/v3/profile/{}/{field}", alice.user_id);
        server
            .get(&path)
            .await
            .expect_error(not_found, "M_NOT_FOUND");
        set(&alice, field, "mxc://example.org/a".into()).await;
        server.get(&path).await.expect_ok();
        set(&alice, field, nothing).await;
        server
            .get(&path)
            .await
            .expect_error(not_found, "M_NOT_FOUND");
        set(&alice, field, "mxc://example.org/b".into()).await;
        alice.delete(&path).await.expect_ok();
        server
            .get(&path)
            .await
            .expect_error(not_found, "M_NOT_FOUND");
    }
    let nobody = server.get("/v3/profile/@nobody:example.org").await;
    nobody.expect_error(not_found, "M_NOT_FOUND");
}

#[tokio::test]
async fn the_form_of_a_field_is_checked() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let put = async |field: &str, body: Value| {
        alice
            .put(&format!("/v3/profile/{}/{field}", alice.user_id), body)
            .await
    };
    let bad = StatusCode::BAD_REQUEST;

    put("displayname", json!({}))
        .await
        .expect_error(bad, "M_MISSING_PARAM");
    put("displayname", json!({ "displayname": 5 }))
        .await
        .expect_error(bad, "M_BAD_JSON");
    let long = "x".repeat(257);
    put("displayname", json!({ "displayname": long }))
        .await
        .expect_error(bad, "M_INVALID_PARAM");
    put("avatar_url", json!({ "avatar_url": 5 }))
        .await
        .expect_error(bad, "M_BAD_JSON");
    put("Upper", json!({ "Upper": 1 }))
        .await
        .expect_error(bad, "M_INVALID_PARAM");
    let name = "a".repeat(256);
    let mut body = json!({});
    body[&name] = 1.into();
    put(&name, body).await.expect_error(bad, "M_KEY_TOO_LARGE");
    let large = json!({ "org.example.x": "x".repeat(66_000) });
    put("org.example.x", large)
        .await
        .expect_error(bad, "M_PROFILE_TOO_LARGE");
}

#[tokio::test]
async fn a_new_name_reaches_the_rooms() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let room = alice.create_room("public_chat").await;
    bob.join(&room).await.expect_ok();
    set(&bob, "displayname", "Bob".into()).await;

    let path = format!("/v3/rooms/{room}/state/m.room.member/{}", bob.user_id);
    let is_shown = async || {
        let member = alice.get(&path).await.expect_ok();
        member["displayname"] == "Bob" && member["membership"] == "join"
    };
    wait_until(&alice, is_shown).await;
}
