//! What other services learn of who brings them a token.

use std::time::Duration;

use database::{Clock as _, Memory};
use http::StatusCode;
use serde_json::json;
use users::OPENID_LIFETIME;

use crate::server::TestServer;

const PATH: &str = "/_matrix/federation/v1/openid/userinfo";

async fn errcode(server: &TestServer, uri: &str) -> String {
    let (status, body) = server.get(uri).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
    body["errcode"].as_str().expect("an errcode").to_owned()
}

#[tokio::test]
async fn a_token_names_its_user_and_nobody_else() {
    let server = TestServer::new().await;
    let [alice, bob] = [server.user("alice").await, server.user("bob").await];
    for user in [&alice, &bob] {
        let token = server.token(user).await;
        let (status, body) = server.get(&format!("{PATH}?access_token={token}")).await;
        assert_eq!(
            (status, body),
            (StatusCode::OK, json!({ "sub": user.user_id }))
        );
    }
}

#[tokio::test]
async fn a_token_is_known_after_a_restart() {
    let memory = Memory::new();
    let server = TestServer::on(&memory).await;
    let alice = server.user("alice").await;
    let token = server.token(&alice).await;

    let restarted = TestServer::on(&memory).await;
    let (status, _) = restarted.get(&format!("{PATH}?access_token={token}")).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn unknown_and_missing_tokens_are_told_apart() {
    let server = TestServer::new().await;
    let unknown = errcode(&server, &format!("{PATH}?access_token=guessed")).await;
    assert_eq!(unknown, "M_UNKNOWN_TOKEN");
    for uri in [PATH.to_owned(), format!("{PATH}?access_token=")] {
        assert_eq!(errcode(&server, &uri).await, "M_MISSING_TOKEN");
    }
}

#[tokio::test]
async fn a_token_ends_after_an_hour() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let uri = format!("{PATH}?access_token={}", server.token(&alice).await);
    let start = server.clock.now();
    server.clock.set(start.plus(Duration::from_mins(59)));
    assert_eq!(server.get(&uri).await.0, StatusCode::OK);

    server.clock.set(start.plus(OPENID_LIFETIME));
    assert_eq!(errcode(&server, &uri).await, "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn a_token_ends_with_its_account() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let uri = format!("{PATH}?access_token={}", server.token(&alice).await);

    server
        .users
        .deactivate(alice.number, false)
        .await
        .expect("it is deactivated");

    assert_eq!(errcode(&server, &uri).await, "M_UNKNOWN_TOKEN");
}
