//! What a server says of itself, to everybody.

use database::Memory;
use http::StatusCode;
use serde_json::json;

use crate::server::TestServer;

#[tokio::test]
async fn a_server_says_where_and_what_it_is() {
    let server = TestServer::new().await;
    let (status, body) = server.get("/.well-known/matrix/server").await;
    assert_eq!(
        (status, body),
        (
            StatusCode::OK,
            json!({ "m.server": "matrix.example.org:443" })
        )
    );
    let (status, body) = server.get("/_matrix/federation/v1/version").await;
    let expected = json!({ "server": { "name": "Aqueduct", "version": "1.2.3" } });
    assert_eq!((status, body), (StatusCode::OK, expected));
}

#[tokio::test]
async fn a_server_that_does_not_federate_has_no_such_endpoints() {
    let server = TestServer::with(&Memory::new(), false, |routes| routes).await;
    for path in [
        "/.well-known/matrix/server",
        "/_matrix/federation/v1/version",
        "/_matrix/key/v2/server",
        "/_matrix/key/v2/query/a.example",
    ] {
        let (status, body) = server.get(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(body["errcode"], "M_UNRECOGNIZED");
    }
}
