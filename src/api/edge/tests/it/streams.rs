//! Responses that are streamed.

use crate::api::TestServer;

#[tokio::test]
async fn a_streamed_response_ends_with_its_last_chunk() {
    let server = TestServer::new().await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    client.send(close("/_test/pages/3/end", &token)).await;
    let rest = client.rest().await;
    assert!(rest.ends_with(b"0\r\n\r\n"));
    assert_eq!(server.edge.bytes_in_flight(), 0);
}

#[tokio::test]
async fn a_streamed_response_that_fails_closes_the_connection_without_its_last_chunk() {
    let server = TestServer::new().await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    client
        .request("GET /_test/pages/5000/failure", &token, b"")
        .await;
    let rest = client.rest().await;
    assert!(rest.starts_with(b"HTTP/1.1 200 OK"));
    assert!(!rest.ends_with(b"0\r\n\r\n"));
    assert_eq!(server.edge.bytes_in_flight(), 0);
}

#[tokio::test]
async fn a_slow_reader_holds_only_what_the_connection_buffers() {
    let server = TestServer::new().await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    // 100 MB, of which the client reads only the head.
    client
        .request("GET /_test/pages/100000/end", &token, b"")
        .await;
    client.head().await;
    assert!(server.edge.bytes_in_flight() <= 256 * 1024);
}

#[tokio::test]
async fn a_whole_response_counts_until_it_is_written_or_its_client_is_gone() {
    let server = TestServer::new().await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    // More than the buffers of the sockets take.
    client
        .request("GET /_test/large/16000000", &token, b"")
        .await;
    client.head().await;
    assert_eq!(server.edge.bytes_in_flight(), 16_000_000);
    drop(client);
    while server.edge.bytes_in_flight() > 0 {
        tokio::task::yield_now().await;
    }
}

fn close(path: &str, token: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
         connection: close\r\n\r\n"
    )
}
