//! What the server does for calls and for other services: TURN servers, OpenID tokens, bridges.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use client_api::TurnKey;
use database::Clock as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::StatusCode;
use serde_json::json;
use sha1::Sha1;

use crate::server::{TestOptions, TestServer};

async fn with_turn(key: TurnKey) -> TestServer {
    let options = TestOptions {
        turn: Some(key),
        ..TestOptions::default()
    };
    TestServer::with(options).await
}

#[tokio::test]
async fn without_turn_servers_there_are_no_credentials() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let none = alice.get("/v3/voip/turnServer").await;
    none.expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");

    let nobody = server.get("/v3/voip/turnServer").await;
    nobody.expect_error(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN");
}

#[tokio::test]
async fn a_shared_secret_makes_credentials_for_each_user_that_end() {
    let server = with_turn(TurnKey::Shared("hush".to_owned())).await;
    let alice = server.user("alice").await;
    let end = server.clock.now().0 / 1000 + 3600;
    let username = format!("{end}:@alice:example.org");
    let mut mac = Hmac::<Sha1>::new_from_slice(b"hush").expect("any key");
    mac.update(username.as_bytes());

    let told = alice.get("/v3/voip/turnServer").await.expect_ok();

    let expected = json!({
        "username": username,
        "password": STANDARD.encode(mac.finalize().into_bytes()),
        "uris": ["turn:turn.example.org?transport=udp"],
        "ttl": 3600,
    });
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_fixed_account_is_told_as_it_is() {
    let key = TurnKey::Fixed {
        username: "matrix".to_owned(),
        password: "open sesame".to_owned(),
    };
    let server = with_turn(key).await;
    let alice = server.user("alice").await;
    let told = alice.get("/r0/voip/turnServer").await.expect_ok();
    assert_eq!(told["username"], "matrix");
    assert_eq!(told["password"], "open sesame");
}

#[tokio::test]
async fn users_prove_who_they_are_and_nobody_else() {
    let server = TestServer::new().await;
    let [alice, bob] = server.users(["alice", "bob"]).await;
    let path = "/v3/user/@alice:example.org/openid/request_token";
    let told = alice.post(path, json!({})).await.expect_ok();
    assert_eq!(told["token_type"], "Bearer");
    assert_eq!(told["matrix_server_name"], "example.org");
    assert_eq!(told["expires_in"], 3600);

    let refused = bob.post(path, json!({})).await;
    refused.expect_error(StatusCode::FORBIDDEN, "M_FORBIDDEN");
    let token = told["access_token"].as_str();
    let useless = server
        .request("GET", "/v3/account/whoami", token, None)
        .await;
    useless.expect_error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn no_bridge_leads_anywhere() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let get = async |path: &str| alice.get(&format!("/v3/thirdparty/{path}")).await;
    assert_eq!(get("protocols").await.expect_ok(), json!({}));
    assert_eq!(
        get("location?alias=%23a:example.org").await.expect_ok(),
        json!([])
    );
    assert_eq!(
        get("user?userid=@bob:example.org").await.expect_ok(),
        json!([])
    );
    for unknown in ["protocol/irc", "location/irc?channel=a", "user/irc?nick=a"] {
        get(unknown)
            .await
            .expect_error(StatusCode::NOT_FOUND, "M_NOT_FOUND");
    }
}
