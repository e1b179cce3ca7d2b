//! Error responses: status, errcode and a sentence for people ("Standard error response" of the
//! spec).

use std::{borrow::Cow, fmt::Display, time::Duration};

use axum::response::IntoResponse;
use database::StoreError;
use http::{StatusCode, header::RETRY_AFTER};
use ruma::api::error::ErrorCode;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{Operator, Response, response};

/// An error response. The constructors pair the spec's errcodes with their statuses.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    errcode: ErrorCode,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    extra: Option<Box<Map<String, Value>>>,
    /// The internal cause: logged once, with the request's id, and never sent.
    cause: Option<Box<str>>,
}

impl ApiError {
    /// Any other pair of status and errcode, for example
    /// `ApiError::new(StatusCode::BAD_REQUEST, "M_USER_IN_USE", "…")`.
    pub fn new(status: StatusCode, errcode: impl Into<ErrorCode>, message: impl Display) -> Self {
        Self {
            status,
            errcode: errcode.into(),
            message: message.to_string().into(),
            retry_after: None,
            extra: None,
            cause: None,
        }
    }

    fn fixed(status: StatusCode, errcode: ErrorCode, message: &'static str) -> Self {
        let message = message.into();
        Self {
            status,
            errcode,
            message,
            retry_after: None,
            extra: None,
            cause: None,
        }
    }

    /// 403 `M_FORBIDDEN`.
    pub fn forbidden(message: impl Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, ErrorCode::Forbidden, message)
    }

    /// 404 `M_NOT_FOUND`.
    pub fn not_found(message: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, ErrorCode::NotFound, message)
    }

    /// 400 `M_INVALID_PARAM`.
    pub fn invalid_param(message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::InvalidParam, message)
    }

    /// 400 `M_MISSING_PARAM`.
    pub fn missing_param(message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::MissingParam, message)
    }

    /// 400 `M_BAD_JSON`: JSON, but not of the expected shape.
    pub fn bad_json(message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::BadJson, message)
    }

    /// 400 `M_NOT_JSON`.
    pub fn not_json(message: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::NotJson, message)
    }

    /// 404 `M_UNRECOGNIZED`: no such endpoint.
    pub fn unrecognized() -> Self {
        Self::fixed(
            StatusCode::NOT_FOUND,
            ErrorCode::Unrecognized,
            "Unrecognized request",
        )
    }

    /// 405 `M_UNRECOGNIZED`: the endpoint exists, for other methods.
    pub(crate) fn unserved_parameter() -> Self {
        let message = "This server does not know a parameter of this request";
        Self::new(StatusCode::BAD_REQUEST, ErrorCode::Unrecognized, message)
    }

    pub fn wrong_method() -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self::fixed(status, ErrorCode::Unrecognized, "Method not allowed here")
    }

    /// 401 `M_MISSING_TOKEN`.
    pub fn missing_token() -> Self {
        Self::fixed(
            StatusCode::UNAUTHORIZED,
            ErrorCode::MissingToken,
            "Missing access token",
        )
    }

    /// 401 `M_UNKNOWN_TOKEN`. With `soft_logout` the client keeps its data and logs in again, or
    /// uses its refresh token.
    pub fn unknown_token(soft_logout: bool) -> Self {
        let status = StatusCode::UNAUTHORIZED;
        Self::fixed(status, ErrorCode::UnknownToken, "Unrecognized access token")
            .with("soft_logout", soft_logout)
    }

    /// 429 `M_LIMIT_EXCEEDED`, with `Retry-After` and `retry_after_ms`.
    pub fn limit_exceeded(retry_after: Duration) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut error = Self::fixed(status, ErrorCode::LimitExceeded, "Too many requests");
        error.retry_after = Some(retry_after);
        let milliseconds = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX);
        error.with("retry_after_ms", milliseconds)
    }

    /// 403 `M_USER_LIMIT_EXCEEDED`: a quota of the user's account. [`Edge`](crate::Edge) adds the
    /// required `info_uri`.
    pub fn user_limit_exceeded(message: impl Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, "M_USER_LIMIT_EXCEEDED", message)
    }

    /// 413 `M_TOO_LARGE`.
    pub fn too_large(message: impl Display) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorCode::TooLarge, message)
    }

    /// 500 `M_UNKNOWN`. `cause` is logged once, with the request's id, and hidden from the client.
    pub fn internal(cause: impl Display) -> Self {
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self::fixed(status, ErrorCode::Unknown, "Internal server error").caused_by(cause)
    }

    /// 503 `M_UNKNOWN`: a retry may succeed. `cause` is logged, not sent.
    pub fn unavailable(cause: impl Display) -> Self {
        Self::overloaded(Duration::from_secs(1)).caused_by(cause)
    }

    /// 503 `M_UNKNOWN` with `Retry-After`, for a limit of the process: logged as a request only.
    pub(crate) fn overloaded(retry_after: Duration) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let mut error = Self::fixed(status, ErrorCode::Unknown, "The server is busy, try again");
        error.retry_after = Some(retry_after);
        error
    }

    /// 401 of interactive auth: the whole body is `information` (flows, session, completed stages,
    /// perhaps errcode and error).
    pub fn uiaa(information: impl Serialize) -> Self {
        let mut error = Self::fixed(StatusCode::UNAUTHORIZED, ErrorCode::Unknown, "");
        match serde_json::to_value(information) {
            Ok(Value::Object(body)) => error.extra = Some(Box::new(body)),
            _ => return Self::internal("interactive auth information is not a JSON object"),
        }
        // Without a name of its own, the body is `extra` alone.
        error.errcode = ErrorCode::from("");
        error
    }

    /// Adds a field to the body.
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.extra
            .get_or_insert_default()
            .insert(field.to_owned(), value.into());
        self
    }

    pub fn status(&self) -> StatusCode {
        self.status
    }

    pub fn errcode(&self) -> &str {
        self.errcode.as_str()
    }

    pub(crate) fn take_cause(&mut self) -> Option<Box<str>> {
        self.cause.take()
    }

    /// Adds the fields with which the spec has some errors refer to the operator.
    pub(crate) fn with_operator(self, operator: &Operator) -> Self {
        match self.errcode.as_str() {
            "M_USER_LIMIT_EXCEEDED" => self.with("info_uri", operator.info_uri.as_str()),
            "M_RESOURCE_LIMIT_EXCEEDED" => {
                self.with("admin_contact", operator.admin_contact.as_str())
            }
            _ => self,
        }
    }

    pub(crate) fn to_response(&self) -> Response {
        let body = ErrorBody {
            errcode: (!self.errcode.as_str().is_empty()).then_some(self.errcode.as_str()),
            error: (!self.message.is_empty()).then_some(&self.message),
            extra: self.extra.as_deref(),
        };
        let bytes = serde_json::to_vec(&body).expect("strings and JSON values always serialize");
        let mut response = response::json(self.status, bytes.into());
        if let Some(wait) = self.retry_after {
            // Whole seconds, rounded up, so that a client that obeys is not early.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }

    fn caused_by(mut self, cause: impl Display) -> Self {
        self.cause = Some(cause.to_string().into());
        self
    }
}

/// For extractors and other parts of axum.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.to_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Contended | StoreError::Conflict => Self::unavailable(error),
            StoreError::Unavailable(_) | StoreError::Corrupt(_) => Self::internal(error),
        }
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    errcode: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(flatten)]
    extra: Option<&'a Map<String, Value>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_limited_response_has_retry_after() {
        let response = ApiError::limit_exceeded(Duration::from_millis(1_200)).to_response();

        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }

    #[test]
    fn errors_of_limits_refer_to_the_operator() {
        let operator = Operator {
            info_uri: "https://example.org/help".to_owned(),
            admin_contact: "mailto:admin@example.org".to_owned(),
        };
        let user = ApiError::user_limit_exceeded("too many").with_operator(&operator);
        let extra = user.extra.expect("there is a field");
        assert_eq!(extra["info_uri"], "https://example.org/help");
        let status = StatusCode::FORBIDDEN;
        let server = ApiError::new(status, "M_RESOURCE_LIMIT_EXCEEDED", "full");
        let extra = server.with_operator(&operator).extra;
        let extra = extra.expect("there is a field");
        assert_eq!(extra["admin_contact"], "mailto:admin@example.org");
    }

    #[test]
    fn the_cause_of_an_internal_error_is_not_sent() {
        let error = ApiError::internal("the disk is on fire");

        let body = serde_json::to_string(&ErrorBody {
            errcode: Some(error.errcode()),
            error: Some(&error.message),
            extra: None,
        })
        .expect("serializes");

        assert_eq!(
            body,
            r#"{"errcode":"M_UNKNOWN","error":"Internal server error"}"#
        );
    }
}
