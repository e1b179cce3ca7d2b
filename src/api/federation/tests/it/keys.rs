//! Keys of this server and of others.

use database::Clock as _;
use federation::KeyDocument;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::server::{TestServer, keys_of};

async fn post(server: &TestServer, body: &Value) -> (StatusCode, Value) {
    let request = Request::post("/_matrix/key/v2/query").body(body.to_string().into_bytes());
    server.send(request.expect("a request")).await
}

#[tokio::test]
async fn a_server_publishes_its_keys() {
    let server = TestServer::new().await;
    let (status, body) = server.get("/_matrix/key/v2/server").await;
    assert_eq!(status, StatusCode::OK);
    let document = KeyDocument::check(&body.to_string(), server.federation.server_name());
    assert_eq!(document.expect("it is signed").keys().count(), 1);
}

#[tokio::test]
async fn a_notary_answers_for_servers_that_it_knows() {
    let server = TestServer::new().await;
    let other = keys_of("other.example", &server.clock).await;
    server.learn(&other).await;

    let (status, one) = server.get("/_matrix/key/v2/query/other.example").await;
    assert_eq!(status, StatusCode::OK);
    let document = &one["server_keys"][0];
    assert_eq!(
        document["signatures"].as_object().map(serde_json::Map::len),
        Some(2)
    );
    KeyDocument::check(&document.to_string(), other.server_name()).expect("it is valid");

    let far = server.clock.now().0 * 2;
    let (_, late) = server
        .get(&format!(
            "/_matrix/key/v2/query/other.example?minimum_valid_until_ts={far}"
        ))
        .await;
    assert_eq!(late, one, "nobody answers, so this is the best there is");

    let query = json!({ "server_keys": {
        "other.example": { "ed25519:any": { "minimum_valid_until_ts": 5 } },
        "unknown.example": {},
        "example.org": {},
    } });
    let (status, many) = post(&server, &query).await;
    assert_eq!(status, StatusCode::OK);
    let names: Vec<_> = many["server_keys"]
        .as_array()
        .expect("a list")
        .iter()
        .collect();
    let names: Vec<_> = names
        .iter()
        .map(|document| &document["server_name"])
        .collect();
    assert_eq!(names, ["example.org", "other.example"]);
}

#[tokio::test]
async fn servers_that_nobody_knows_are_an_empty_list() {
    let server = TestServer::new().await;
    let (status, body) = server.get("/_matrix/key/v2/query/unknown.example").await;
    assert_eq!(
        (status, body),
        (StatusCode::OK, json!({ "server_keys": [] }))
    );
    let (status, body) = post(&server, &json!({ "server_keys": {} })).await;
    assert_eq!(
        (status, body),
        (StatusCode::OK, json!({ "server_keys": [] }))
    );
}

#[tokio::test]
async fn malformed_queries_are_refused() {
    let server = TestServer::new().await;
    let (status, body) = server.get("/_matrix/key/v2/query/no%20name").await;
    assert_eq!(
        (status, &body["errcode"]),
        (StatusCode::BAD_REQUEST, &json!("M_INVALID_PARAM"))
    );
    let (status, body) = server
        .get("/_matrix/key/v2/query/a?minimum_valid_until_ts=x")
        .await;
    assert_eq!(
        (status, &body["errcode"]),
        (StatusCode::BAD_REQUEST, &json!("M_INVALID_PARAM"))
    );
    let (status, body) = post(&server, &json!({})).await;
    assert_eq!(
        (status, &body["errcode"]),
        (StatusCode::BAD_REQUEST, &json!("M_MISSING_PARAM"))
    );
}
