//! Clients that abuse HTTP.

use std::time::Duration;

use edge::ConnectionTimeouts;

use crate::api::{TestOptions, TestServer};

/// Short, as these tests wait for it to pass.
const TIMEOUT: Duration = Duration::from_millis(300);

async fn impatient() -> TestServer {
    let mut options = TestOptions {
        timeouts: ConnectionTimeouts {
            head: TIMEOUT,
            stall: TIMEOUT,
        },
        ..TestOptions::default()
    };
    options.settings.bodies.timeout = TIMEOUT;
    TestServer::with(options).await
}

#[tokio::test]
async fn a_head_that_never_ends_is_disconnected() {
    let server = impatient().await;
    let mut client = server.connect().await;
    client
        .send("GET /_test/large/1 HTTP/1.1\r\nhost: a\r\nx-slow: ")
        .await;
    client.rest().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = impatient().await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    assert_eq!(client.get("/_test/large/1", &token).await.status, 200);
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_body_that_never_arrives_is_a_timeout() {
    let server = impatient().await;
    let token = server.token("alice").await;
    for framing in ["content-length: 100", "transfer-encoding: chunked"] {
        let mut client = server.connect().await;
        client
            .send(format!(
                "PUT /_test/echo/a HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
                 {framing}\r\n\r\n"
            ))
            .await;
        assert_eq!(client.answer().await.status, 408, "{framing}");
        assert_eq!(client.rest().await, b"", "the connection is closed");
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let server = TestServer::new().await;
    let mut client = server.connect().await;
    let long = "a".repeat(31 * 1024);
    client
        .send(format!("GET / HTTP/1.1\r\nx-a: {long}\r\n"))
        .await;
    client.send("x-b: b\r\n".repeat(200)).await;
    assert_eq!(client.answer().await.status, 431);
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let server = TestServer::new().await;
    let mut client = server.connect().await;
    let headers = "x-a: b\r\n".repeat(1_000);
    client
        .send(format!("GET / HTTP/1.1\r\n{headers}\r\n"))
        .await;
    assert_eq!(client.answer().await.status, 431);
}

#[tokio::test]
async fn chunks_without_end_are_cut_off_at_the_limit() {
    let mut options = TestOptions::default();
    options.settings.bodies.large = 100_000;
    let server = TestServer::with(options).await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    client
        .send(format!(
            "PUT /_test/echo/a HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
             transfer-encoding: chunked\r\n\r\n"
        ))
        .await;
    let chunk = format!("{:x}\r\n{}\r\n", 1_000, "a".repeat(1_000));
    client.send(chunk.repeat(101)).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, &*answer.errcode()), (413, "M_TOO_LARGE"));
    assert_eq!(server.edge.bytes_in_flight(), 0);
}

#[tokio::test]
async fn pipelined_requests_are_answered_one_after_the_other() {
    let server = TestServer::new().await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    for number in 1..=50 {
        client
            .request(&format!("GET /_test/large/{number}"), &token, b"")
            .await;
    }
    for number in 1..=50 {
        assert_eq!(client.answer().await.body.len(), number);
    }
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let server = TestServer::new().await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    client
        .send(format!(
            "GET /_test/large/5 HTTP/1.0\r\nauthorization: Bearer {token}\r\n\r\n"
        ))
        .await;
    assert_eq!(client.answer().await.body.len(), 5);
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn a_panic_is_an_error_of_one_request() {
    let server = TestServer::new().await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    assert_eq!(client.get("/_test/panic", &token).await.status, 500);
    assert_eq!(client.get("/_test/large/1", &token).await.status, 200);
    assert_eq!(server.edge.panics(), 1);
}
