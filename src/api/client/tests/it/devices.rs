//! Devices: what clients see.

use http::StatusCode;
use serde_json::{Value, json};

use crate::{
    account::by_password,
    person::{Answer, User},
    server::TestServer,
};

async fn delete(user: &User, path: &str, auth: Value) -> Answer {
    let body = json!({ "auth": auth }).to_string().into_bytes();
    user.server
        .request("DELETE", path, Some(&user.token), Some(body))
        .await
}

#[tokio::test]
async fn devices_are_listed_and_renamed() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let phone = server.device(&alice).await;
    let path = format!("/v3/devices/{}", phone.device_id);

    alice
        .put(&path, json!({ "display_name": "My phone" }))
        .await
        .expect_ok();
    let shown = alice.get(&path).await.expect_ok();
    assert_eq!(shown["device_id"], phone.device_id.as_str());
    assert_eq!(shown["display_name"], "My phone");
    let listed = alice.get("/v3/devices").await.expect_ok();
    assert_eq!(listed["devices"].as_array().map(Vec::len), Some(2));

    let unknown = "/v3/devices/unknown";
    let not_found = StatusCode::NOT_FOUND;
    alice
        .get(unknown)
        .await
        .expect_error(not_found, "M_NOT_FOUND");
    alice
        .put(unknown, json!({}))
        .await
        .expect_error(not_found, "M_NOT_FOUND");
}

#[tokio::test]
async fn a_device_of_another_user_is_unknown() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let path = format!("/v3/devices/{}", bob.device_id);
    alice
        .get(&path)
        .await
        .expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
}

#[tokio::test]
async fn deleting_a_device_asks_for_the_password() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let phone = server.device(&alice).await;
    let path = format!("/v3/devices/{}", phone.device_id);

    let asked = alice.delete(&path).await;
    assert_eq!(asked.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        asked.body["flows"],
        json!([{ "stages": ["m.login.password"] }])
    );

    let auth = by_password(&bob, &User::password_of("bob"));
    let other = delete(&alice, &path, auth).await;
    other.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    phone.get("/v3/account/whoami").await.expect_ok();

    let auth = by_password(&alice, &User::password_of("alice"));
    delete(&alice, &path, auth).await.expect_ok();
    alice
        .get(&path)
        .await
        .expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
    let gone = phone.get("/v3/account/whoami").await;
    gone.expect_error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn many_devices_go_at_once() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let (phone, laptop) = (server.device(&alice).await, server.device(&alice).await);
    let ids = json!([phone.device_id, laptop.device_id]);
    let asked = alice
        .post("/v3/delete_devices", json!({ "devices": ids }))
        .await;
    assert_eq!(asked.status, StatusCode::UNAUTHORIZED);

    let mut auth = by_password(&alice, &User::password_of("alice"));
    auth["session"] = asked.body["session"].clone();
    let fewer = json!({ "devices": [phone.device_id], "auth": auth });
    let changed = alice.post("/v3/delete_devices", fewer).await;
    changed.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");

    let body = json!({ "devices": ids, "auth": auth });
    alice.post("/v3/delete_devices", body).await.expect_ok();
    let listed = alice.get("/v3/devices").await.expect_ok();
    assert_eq!(listed["devices"][0]["device_id"], alice.device_id.as_str());
    assert_eq!(listed["devices"].as_array().map(Vec::len), Some(1));
}
