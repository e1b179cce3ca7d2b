//! What holds for every endpoint: CORS, unknown paths and methods, tokens, bodies, rate limits.

use edge::{Body, Rate, RateLimits};
use http::{Method, Request, StatusCode};
use serde_json::json;

use crate::server::{TestOptions, TestServer};

#[tokio::test]
async fn an_unknown_path_is_told_from_a_wrong_method() {
    let server = TestServer::new().await;

    server
        .get("/v3/nonsense")
        .await
        .expect_error(StatusCode::NOT_FOUND, "M_UNRECOGNIZED");
    let answer = server.request("DELETE", "/versions", None, None).await;
    answer.expect_error(StatusCode::METHOD_NOT_ALLOWED, "M_UNRECOGNIZED");
}

#[tokio::test]
async fn browsers_are_let_in_everywhere() {
    let server = TestServer::new().await;

    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri("/_matrix/client/v3/sync");
    let preflight = server
        .answer(preflight.body(Body::empty()).expect("a valid request"))
        .await;
    assert_eq!(preflight.status, StatusCode::NO_CONTENT);

    for answer in [
        preflight,
        server.get("/versions").await,
        server.get("/v3/sync").await,
    ] {
        assert_eq!(answer.headers["access-control-allow-origin"], "*");
        assert!(answer.headers.contains_key("access-control-allow-methods"));
        assert!(answer.headers.contains_key("access-control-allow-headers"));
        assert!(answer.headers.contains_key("x-request-id"));
    }
}

#[tokio::test]
async fn a_token_is_asked_for_and_known() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;

    let missing = server.get("/v3/account/whoami").await;
    missing.expect_error(StatusCode::UNAUTHORIZED, "M_MISSING_TOKEN");
    let unknown = server
        .request("GET", "/v3/account/whoami", Some("nonsense"), None)
        .await;
    assert_eq!(unknown.body["soft_logout"], false);
    unknown.expect_error(StatusCode::UNAUTHORIZED, "M_UNKNOWN_TOKEN");
    let in_query = format!("/v3/account/whoami?access_token={}", alice.token);
    assert_eq!(
        server.get(&in_query).await.expect_ok()["user_id"],
        "@alice:example.org"
    );
}

#[tokio::test]
async fn old_paths_and_head_are_answered() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;

    alice.get("/r0/account/whoami").await.expect_ok();
    let head = server.request("HEAD", "/versions", None, None).await;
    assert_eq!(head.status, StatusCode::OK);
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let server = TestServer::new().await;

    let body = b"{ \"test\":\"a\x81\" }".to_vec();
    let answer = server
        .request("POST", "/v3/register", None, Some(body))
        .await;
    answer.expect_error(StatusCode::BAD_REQUEST, "M_NOT_JSON");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let server = TestServer::new().await;
    let alice = server.user("alice").await;
    let room = alice.create_room("private_chat").await;

    let path = format!("/v3/rooms/{room}/send/m.room.message/1");
    let answer = alice
        .put(&path, json!({ "body": "a".repeat(2 << 20) }))
        .await;
    answer.expect_error(StatusCode::PAYLOAD_TOO_LARGE, "M_TOO_LARGE");
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let login = Rate {
        per_second: 0.1,
        burst: 1,
    };
    let rate_limits = RateLimits {
        login,
        ..RateLimits::default()
    };
    let options = TestOptions {
        rate_limits,
        ..TestOptions::default()
    };
    let server = TestServer::with(options).await;
    let alice = server.user("alice").await;
    server.device(&alice).await;

    let answer = server
        .post("/v3/login", json!({ "type": "m.login.password" }))
        .await;

    assert_eq!(answer.headers["retry-after"], "10");
    assert_eq!(answer.body["retry_after_ms"], 10_000);
    answer.expect_error(StatusCode::TOO_MANY_REQUESTS, "M_LIMIT_EXCEEDED");
}
