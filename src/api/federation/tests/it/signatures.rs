//! Endpoints that ask for servers: who has sent a request is known before the handler runs.

use database::Memory;
use edge::{ApiError, Call, Json, Server};
use federation::{Keys, authentication::sign};
use http::{Method, Request as HttpRequest, StatusCode, header::AUTHORIZATION};
use ruma::{
    api::{
        IncomingRequest,
        error::DeserializationError,
        federation::{
            authentication::ServerSignatures, transactions::send_transaction_message::v1::Response,
        },
    },
    metadata,
};
use serde_json::{Value, json};

use crate::server::{TestServer, keys_of};

const PATH: &str = "/_matrix/federation/v1/test/1";

/// Asks who has sent it.
struct Request;

metadata! {
    @for Request,
    method: PUT,
    rate_limited: false,
    authentication: ServerSignatures,
    path: "/_matrix/federation/v1/test/{id}",
}

impl IncomingRequest for Request {
    type EndpointError = ruma::api::error::Error;
    /// Not what is answered.
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        _: HttpRequest<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(Self)
    }
}

/// Says who has called it.
async fn who(call: Call<Request>) -> Result<Json<Value>, ApiError> {
    let caller: Server = call.caller;
    Ok(Json(json!({ "caller": caller.name })))
}

async fn server() -> TestServer {
    TestServer::with(&Memory::new(), true, |routes| routes.add(who)).await
}

fn body() -> Vec<u8> {
    json!({ "origin": "other.example", "origin_server_ts": 1, "pdus": [] })
        .to_string()
        .into_bytes()
}

fn signed(keys: &Keys, server: &TestServer, body: &[u8]) -> HttpRequest<Vec<u8>> {
    let name = server.federation.server_name();
    let header = sign(&keys.current(), name, &Method::PUT, PATH, body).expect("it is JSON");
    let request = HttpRequest::put(PATH)
        .header(AUTHORIZATION, header)
        .body(body.to_vec());
    request.expect("a request")
}

#[tokio::test]
async fn a_signed_request_comes_from_its_server() {
    let server = server().await;
    let other = keys_of("other.example", &server.clock).await;
    server.learn(&other).await;
    let answer = server.send(signed(&other, &server, &body())).await;
    assert_eq!(
        answer,
        (StatusCode::OK, json!({ "caller": "other.example" }))
    );
}

#[tokio::test]
async fn every_other_request_is_refused() {
    let server = server().await;
    let other = keys_of("other.example", &server.clock).await;
    let stranger = keys_of("stranger.example", &server.clock).await;
    let denied = keys_of("denied.example", &server.clock).await;
    server.learn(&other).await;
    server.learn(&denied).await;

    let mut changed = signed(&other, &server, &body());
    changed.body_mut().push(b' ');
    assert_eq!(
        server.send(changed.clone()).await.0,
        StatusCode::OK,
        "the same JSON"
    );
    changed
        .body_mut()
        .splice(1..1, b"\"edus\":[],".iter().copied());
    let mut unsigned = signed(&other, &server, &body());
    unsigned.headers_mut().remove(AUTHORIZATION);
    let mut bearer = unsigned.clone();
    bearer
        .headers_mut()
        .insert(AUTHORIZATION, "Bearer token".parse().expect("a value"));
    let mut no_json = signed(&other, &server, &body());
    *no_json.body_mut() = b"{".to_vec();

    let unauthorized = (StatusCode::UNAUTHORIZED, "M_UNAUTHORIZED");
    for (what, request, expected) in [
        ("changed", changed, unauthorized),
        ("not signed", unsigned, unauthorized),
        ("another scheme", bearer, unauthorized),
        (
            "an unknown key",
            signed(&stranger, &server, &body()),
            unauthorized,
        ),
        (
            "a denied server",
            signed(&denied, &server, &body()),
            (StatusCode::FORBIDDEN, "M_FORBIDDEN"),
        ),
        ("no JSON", no_json, (StatusCode::BAD_REQUEST, "M_NOT_JSON")),
    ] {
        let (status, body) = server.send(request).await;
        assert_eq!(
            (status, body["errcode"].as_str()),
            (expected.0, Some(expected.1)),
            "{what}"
        );
    }
}
