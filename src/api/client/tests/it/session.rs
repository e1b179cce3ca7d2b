//! Login, refresh, logout: what clients see.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};

use crate::{person::User, server::TestServer};

fn login(user: &str, password: &str) -> Value {
    let identifier = json!({ "type": "m.id.user", "user": user });
    json!({ "type": "m.login.password", "identifier": identifier, "password": password })
}

#[tokio::test]
async fn the_flows_of_a_login_are_told() {
    let server = TestServer::new().await;
    let told = server.get("/v3/login").await.expect_ok();
    assert_eq!(told, json!({ "flows": [{ "type": "m.login.password" }] }));
}

#[tokio::test]
async fn people_log_in_and_are_told_where() {
    let server = TestServer::new().await;
    server.user("alice").await;
    let mut body = login("@ALICE:example.org", &User::password_of("alice"));
    body["device_id"] = "PHONE".into();
    let told = server.post("/v3/login", body).await.expect_ok();

    assert_eq!(told["user_id"], "@alice:example.org");
    assert_eq!(told["device_id"], "PHONE");
    assert_eq!(
        told["well_known"]["m.homeserver"]["base_url"],
        "https://example.org"
    );
    assert!(told["refresh_token"].is_null() && told["expires_in_ms"].is_null());
}

#[tokio::test]
async fn wrong_logins_are_refused_alike() {
    let server = TestServer::new().await;
    server.user("alice").await;
    let wrong_password = server.post("/v3/login", login("alice", "wrong")).await;
    let wrong_user = server.post("/v3/login", login("bob", "wrong")).await;

    assert_eq!(wrong_password.body, wrong_user.body);
    wrong_password.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    wrong_user.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}

#[tokio::test]
async fn the_form_of_a_login_is_checked() {
    let server = TestServer::new().await;
    let post = async |body: Value| server.post("/v3/login", body).await;
    let bad = StatusCode::BAD_REQUEST;
    let kind = "m.login.password";

    post(json!({})).await.expect_error(bad, "M_MISSING_PARAM");
    post(json!([])).await.expect_error(bad, "M_BAD_JSON");
    post(json!({ "type": 5 }))
        .await
        .expect_error(bad, "M_BAD_JSON");
    post(json!({ "type": "m.login.magic" }))
        .await
        .expect_error(bad, "M_UNKNOWN");
    post(json!({ "type": kind }))
        .await
        .expect_error(bad, "M_MISSING_PARAM");
    post(json!({ "type": kind, "user": "a" }))
        .await
        .expect_error(bad, "M_MISSING_PARAM");
    post(json!({ "type": kind, "user": "a", "password": 5 }))
        .await
        .expect_error(bad, "M_BAD_JSON");
    let empty = post(json!({ "type": kind, "user": "a", "password": "" })).await;
    empty.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
}

#[tokio::test]
async fn a_logout_ends_the_token() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let phone = server.device(&alice).await;
    phone.post("/v3/logout", json!({})).await.expect_ok();

    let again = phone.post("/v3/logout", json!({})).await;
    assert_eq!(again.body["soft_logout"], false);
    again.expect_error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN");
    let devices = alice.get("/v3/devices").await.expect_ok();
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_logout_everywhere_ends_all_tokens() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let phone = server.device(&alice).await;
    phone.post("/v3/logout/all", json!({})).await.expect_ok();

    for device in [alice, phone] {
        let answer = device.get("/v3/account/whoami").await;
        answer.expect_error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN");
    }
}

#[tokio::test]
async fn an_expired_token_is_a_soft_logout_and_is_refreshed() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let mut body = login("alice", &User::password_of("alice"));
    body["refresh_token"] = true.into();
    let told = server.post("/v3/login", body).await.expect_ok();
    let lifetime = told["expires_in_ms"].as_u64().expect("it expires");
    let phone = User::logged_in(&server, "alice", &told);
    phone.get("/v3/account/whoami").await.expect_ok();

    server.clock.advance(Duration::from_millis(lifetime));
    let expired = phone.get("/v3/account/whoami").await;
    assert_eq!(expired.body["soft_logout"], true);
    expired.expect_error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN");
    alice.get("/v3/account/whoami").await.expect_ok();

    let body = json!({ "refresh_token": told["refresh_token"] });
    let renewed = server.post("/v3/refresh", body.clone()).await.expect_ok();
    let token = renewed["access_token"]
        .as_str()
        .expect("a new token")
        .to_owned();
    let phone = User { token, ..phone };
    let who = phone.get("/v3/account/whoami").await.expect_ok();
    assert_eq!(who["device_id"], told["device_id"]);
    let old = server.post("/v3/refresh", body).await;
    old.expect_error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN");
}
