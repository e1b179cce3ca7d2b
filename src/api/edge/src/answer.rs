//! What a handler may return: a ruma response, or JSON that it made itself.

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use ruma::api::{OutgoingResponse, OutgoingResponseExt as _};
use serde::Serialize;

use crate::ApiError;

/// Bodies are whole: the largest answers are bounded, and one write sends head and body together.
pub type Body = Full<Bytes>;
pub type Response = http::Response<Body>;

/// 200 with bytes that are JSON already (hot paths splice them from stored events).
#[derive(Debug)]
pub struct RawJson(pub Vec<u8>);

/// 200 with a value of our own, where ruma's response type is too narrow.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// 200 with `{}`.
#[derive(Debug)]
pub struct Empty;

/// An answer that the handler made as a whole: other statuses, other content types.
#[derive(Debug)]
pub struct Whole(pub Response);

/// Anything that becomes an answer.
pub trait Respond {
    fn respond(self) -> Result<Response, ApiError>;
}

impl<T: OutgoingResponse> Respond for T {
    fn respond(self) -> Result<Response, ApiError> {
        let response = self
            .try_into_http_response::<Vec<u8>>()
            .map_err(ApiError::internal)?;
        Ok(response.map(|body| Full::new(body.into())))
    }
}

impl Respond for RawJson {
    fn respond(self) -> Result<Response, ApiError> {
        Ok(json(StatusCode::OK, self.0))
    }
}

impl<T: Serialize> Respond for Json<T> {
    fn respond(self) -> Result<Response, ApiError> {
        let bytes = serde_json::to_vec(&self.0).map_err(ApiError::internal)?;
        Ok(json(StatusCode::OK, bytes))
    }
}

impl Respond for Empty {
    fn respond(self) -> Result<Response, ApiError> {
        Ok(json(StatusCode::OK, b"{}".to_vec()))
    }
}

impl Respond for Whole {
    fn respond(self) -> Result<Response, ApiError> {
        Ok(self.0)
    }
}

pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = http::Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
