//! Connections, bytes in flight, rates.

use edge::{InFlightLimits, Rate, RateLimits};

use crate::api::{TestOptions, TestServer};

#[tokio::test]
async fn a_connection_too_many_waits_until_another_ends() {
    let options = TestOptions {
        connections: 1,
        ..TestOptions::default()
    };
    let server = TestServer::with(options).await;
    let token = server.token("alice").await;
    let mut first = server.connect().await;
    assert_eq!(first.get("/_test/large/1", &token).await.status, 200);
    let mut second = server.connect().await;
    second.request("GET /_test/large/2", &token, b"").await;
    assert_eq!(first.get("/_test/large/1", &token).await.status, 200);
    drop(first);
    assert_eq!(second.answer().await.body.len(), 2);
}

#[tokio::test]
async fn a_body_counts_until_its_handler_ends_or_its_client_is_gone() {
    let server = TestServer::new().await;
    let token = server.token("alice").await;
    let body = format!("{{\"a\":\"{}\"}}", "a".repeat(500_000));
    let mut client = server.connect().await;
    client
        .request("POST /_test/park", &token, body.as_bytes())
        .await;
    server.parked.notified().await;
    assert!(server.edge.bytes_in_flight() >= body.len());

    drop(client);
    // The server notices when it reads the end of the connection.
    while server.edge.bytes_in_flight() > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_small_body_does_not_count_while_its_request_waits() {
    let server = TestServer::new().await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    client
        .request("POST /_test/park", &token, b"{\"a\":1}")
        .await;
    server.parked.notified().await;
    assert_eq!(server.edge.bytes_in_flight(), 0);
}

#[tokio::test]
async fn a_user_over_the_share_gets_429_and_others_are_served() {
    let mut options = TestOptions::default();
    options.settings.in_flight = InFlightLimits {
        total: 1_000_000,
        per_user: 300_000,
        per_address: 1_000_000,
    };
    let server = TestServer::with(options).await;
    let alice = server.token("alice").await;
    let bob = server.token("bob").await;
    let body = format!("{{\"a\":\"{}\"}}", "a".repeat(200_000));
    let mut parked = server.connect().await;
    parked
        .request("POST /_test/park", &alice, body.as_bytes())
        .await;
    server.parked.notified().await;

    let mut client = server.connect().await;
    client
        .request("PUT /_test/echo/a", &alice, body.as_bytes())
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, &*answer.errcode()),
        (429, "M_LIMIT_EXCEEDED")
    );

    let mut client = server.connect().await;
    client
        .request("PUT /_test/echo/a", &bob, body.as_bytes())
        .await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn over_the_limit_of_the_process_everyone_gets_503() {
    let mut options = TestOptions::default();
    options.settings.in_flight = InFlightLimits {
        total: 300_000,
        per_user: 300_000,
        per_address: 300_000,
    };
    let server = TestServer::with(options).await;
    let alice = server.token("alice").await;
    let bob = server.token("bob").await;
    let body = format!("{{\"a\":\"{}\"}}", "a".repeat(200_000));
    let mut parked = server.connect().await;
    parked
        .request("POST /_test/park", &alice, body.as_bytes())
        .await;
    server.parked.notified().await;

    let mut client = server.connect().await;
    client
        .request("PUT /_test/echo/a", &bob, body.as_bytes())
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.head.contains("retry-after: 1\r\n"),
        "{}",
        answer.head
    );
}

fn one_request() -> TestOptions {
    let mut options = TestOptions::default();
    options.settings.rate_limits = RateLimits {
        enabled: true,
        general: Rate {
            per_second: 0.1,
            burst: 1,
        },
        ..RateLimits::default()
    };
    options
}

#[tokio::test]
async fn unknown_paths_and_wrong_tokens_are_charged_to_the_address() {
    for path in ["/_test/nothing", "/_test/large/1"] {
        let server = TestServer::with(one_request()).await;
        let mut client = server.connect().await;
        let first = client.get(path, "wrong").await.status;
        assert!(first == 404 || first == 401, "{first}");
        assert_eq!(client.get(path, "wrong").await.status, 429);
    }
}

#[tokio::test]
async fn wrong_tokens_do_not_lock_out_a_user_of_the_same_address() {
    let server = TestServer::with(one_request()).await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    client.get("/_test/large/1", "wrong").await;
    assert_eq!(client.get("/_test/large/1", "wrong").await.status, 429);
    assert_eq!(client.get("/_test/large/1", &token).await.status, 200);
}

#[tokio::test]
async fn query_tokens_can_be_switched_off() {
    for (query_access_tokens, status) in [(true, 200), (false, 401)] {
        let mut options = TestOptions::default();
        options.settings.query_access_tokens = query_access_tokens;
        let server = TestServer::with(options).await;
        let token = server.token("alice").await;
        let mut client = server.connect().await;
        client
            .send(format!(
                "GET /_test/large/1?access_token={token} HTTP/1.1\r\nhost: a\r\n\r\n"
            ))
            .await;
        assert_eq!(client.answer().await.status, status);
    }
}
