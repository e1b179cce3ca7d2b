//! What the server says of itself, and registration by the operator's secret.

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::StatusCode;
use serde_json::{Value, json};
use sha1::Sha1;

use crate::{
    person::User,
    server::{REGISTRATION_SECRET, TestServer},
};

const PATH: &str = "/_synapse/admin/v1/register";

#[tokio::test]
async fn versions_are_told_to_everyone() {
    let server = TestServer::new().await;
    let told = server.get("/versions").await.expect_ok();
    let versions = told["versions"].as_array().expect("a list");
    assert!(versions.contains(&json!("v1.1")) && versions.contains(&json!("v1.16")));
    assert_eq!(told["unstable_features"]["org.matrix.msc3391"], true);
}

#[tokio::test]
async fn capabilities_are_told_to_users() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let told = alice.get("/v3/capabilities").await.expect_ok();
    let told = &told["capabilities"];
    assert_eq!(told["m.change_password"], json!({ "enabled": true }));
    assert_eq!(told["m.room_versions"]["default"], "12");
    assert_eq!(told["m.room_versions"]["available"]["6"], "stable");
    for (capability, enabled) in [
        ("m.set_displayname", true),
        ("m.set_avatar_url", true),
        ("m.profile_fields", true),
        ("m.3pid_changes", false),
        ("m.get_login_token", false),
        ("m.forget_forced_upon_leave", false),
    ] {
        assert_eq!(
            told[capability],
            json!({ "enabled": enabled }),
            "{capability}"
        );
    }

    let nobody = server.get("/v3/capabilities").await;
    nobody.expect_error(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn clients_find_the_server() {
    let server = TestServer::new().await;
    let told = server.get("/.well-known/matrix/client").await.expect_ok();
    assert_eq!(
        told,
        json!({ "m.homeserver": { "base_url": "https://example.org" } })
    );
}

async fn signed(server: &TestServer, name: &str, is_admin: bool) -> Value {
    let nonce = server.get(PATH).await.expect_ok()["nonce"]
        .as_str()
        .expect("a nonce")
        .to_owned();
    let role = if is_admin { "admin" } else { "notadmin" };
    let mut mac = Hmac::<Sha1>::new_from_slice(REGISTRATION_SECRET.as_bytes()).expect("any key");
    mac.update([&nonce, name, "secret", role].join("\0").as_bytes());
    let mac = hex::encode(mac.finalize().into_bytes());
    json!({ "nonce": nonce, "username": name, "password": "secret", "admin": is_admin, "mac": mac })
}

/// An administrator.
pub(crate) async fn admin(server: &TestServer, name: &str) -> User {
    let body = signed(server, name, true).await;
    User::logged_in(server, name, &server.post(PATH, body).await.expect_ok())
}

#[tokio::test]
async fn whoever_knows_the_secret_makes_accounts() {
    let server = TestServer::new().await;
    let body = signed(&server, "User-UPPER", true).await;
    let told = server.post(PATH, body.clone()).await.expect_ok();
    assert_eq!(told["user_id"], "@user-upper:example.org");
    assert_eq!(told["home_server"], "example.org");
    let login = json!({ "type": "m.login.password", "user": "user-upper", "password": "secret" });
    server.post("/v3/login", login).await.expect_ok();

    let bad = StatusCode::BAD_REQUEST;
    server.post(PATH, body).await.expect_error(bad, "M_UNKNOWN");
    let body = signed(&server, "us,er", false).await;
    server
        .post(PATH, body)
        .await
        .expect_error(bad, "M_INVALID_USERNAME");
}

#[tokio::test]
async fn a_wrong_signature_makes_none() {
    let server = TestServer::new().await;
    let mut body = signed(&server, "alice", false).await;
    body["admin"] = true.into();
    server
        .post(PATH, body)
        .await
        .expect_error(StatusCode::FORBIDDEN, "M_UNKNOWN");
}
