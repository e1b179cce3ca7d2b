//! Handlers that read and write streams, and what all routes have.

use crate::api::TestServer;

#[tokio::test]
async fn an_upload_is_read_and_answered_as_a_stream() {
    let server = TestServer::new().await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    let file = vec![0xff; 300_000];
    let line = "POST /_matrix/media/v3/upload?filename=cat.png";
    client.request(line, &token, &file).await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("x-name: cat.png"));
    assert_eq!(answer.body, file);
}

#[tokio::test]
async fn an_upload_over_its_limit_is_refused_before_it_is_sent() {
    let server = TestServer::new().await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    client
        .send(format!(
            "POST /_matrix/media/v3/upload HTTP/1.1\r\nhost: a\r\n\
             authorization: Bearer {token}\r\ncontent-length: 1048577\r\n\r\n"
        ))
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, &*answer.errcode()), (413, "M_TOO_LARGE"));
}

#[tokio::test]
async fn an_upload_needs_a_token() {
    let server = TestServer::new().await;
    let mut client = server.connect().await;
    client
        .request("POST /_matrix/media/v3/upload", "wrong", b"a")
        .await;
    assert_eq!(client.answer().await.errcode(), "M_UNKNOWN_TOKEN");
}

#[tokio::test]
async fn own_requests_decode_path_and_body() {
    let server = TestServer::new().await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    client
        .request("PUT /_test/echo/a%2Fb%20c", &token, b"{\"x\":1}")
        .await;
    let answer = client.answer().await;
    assert_eq!(
        answer.json(),
        serde_json::json!({ "name": "a/b c", "body": { "x": 1 } })
    );
    client.request("PUT /_test/echo/%ff", &token, b"{}").await;
    assert_eq!(client.answer().await.errcode(), "M_INVALID_PARAM");
}

#[tokio::test]
async fn large_bodies_are_decoded_as_small_ones_are() {
    let server = TestServer::new().await;
    let token = server.token("alice").await;
    let mut client = server.connect().await;
    let text = "a".repeat(2 << 20);
    let body = format!("{{\"x\":\"{text}\"}}");
    client
        .request("PUT /_test/echo/a", &token, body.as_bytes())
        .await;
    assert_eq!(client.answer().await.json()["body"]["x"], text);
    let broken = &body.as_bytes()[..body.len() - 1];
    client.request("PUT /_test/echo/a", &token, broken).await;
    assert_eq!(client.answer().await.errcode(), "M_NOT_JSON");
}

#[tokio::test]
async fn a_wrong_method_is_refused_with_those_allowed() {
    let server = TestServer::new().await;
    let mut client = server.connect().await;
    client.request("DELETE /_test/large/1", "", b"").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, &*answer.errcode()), (405, "M_UNRECOGNIZED"));
    assert!(answer.head.contains("allow: get,head"), "{}", answer.head);
}
