//! Return types of handlers: a response type of ruma, JSON, or any response of axum.

use axum::{body::Body, response::IntoResponse};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use ruma::api::{OutgoingResponse, OutgoingResponseExt as _};
use serde::Serialize;

use crate::ApiError;

pub type Response = axum::response::Response;

/// 200 with bytes that are JSON already (hot paths splice them from stored events).
#[derive(Debug)]
pub struct RawJson(pub Vec<u8>);

/// 200 with a value of our own, where ruma's response type is too narrow.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// 200 with `{}`.
#[derive(Debug)]
pub struct Empty;

/// A response of axum, for other statuses, other content types, upgrades and streams
/// (`Body::from_stream`).
#[derive(Debug)]
pub struct AxumResponse<T = Response>(pub T);

/// Anything that becomes a response.
pub trait Respond {
    fn respond(self) -> Result<Response, ApiError>;
}

impl<T: OutgoingResponse> Respond for T {
    fn respond(self) -> Result<Response, ApiError> {
        let response = self
            .try_into_http_response::<Vec<u8>>()
            .map_err(ApiError::internal)?;
        Ok(response.map(Body::from))
    }
}

impl Respond for RawJson {
    fn respond(self) -> Result<Response, ApiError> {
        Ok(json(StatusCode::OK, self.0.into()))
    }
}

impl<T: Serialize> Respond for Json<T> {
    fn respond(self) -> Result<Response, ApiError> {
        let bytes = serde_json::to_vec(&self.0).map_err(ApiError::internal)?;
        Ok(json(StatusCode::OK, bytes.into()))
    }
}

impl Respond for Empty {
    fn respond(self) -> Result<Response, ApiError> {
        Ok(json(StatusCode::OK, "{}".into()))
    }
}

impl<T: IntoResponse> Respond for AxumResponse<T> {
    fn respond(self) -> Result<Response, ApiError> {
        Ok(self.0.into_response())
    }
}

pub(crate) fn json(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
