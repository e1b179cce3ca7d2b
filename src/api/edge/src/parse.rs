//! Decoding requests with ruma's `IncomingRequest`, and its errors as the spec's errcodes.

use std::fmt::Display;

use bytes::Bytes;
use database::Blocking;
use http::{Request, request::Parts};
use ruma::api::{IncomingRequest, error::DeserializationError};

use crate::{
    ApiError,
    body::{check_form, is_json},
};

/// Larger bodies are parsed off the async workers: parsing them takes milliseconds.
const LARGE: usize = 256 * 1024;

/// Decodes a request. A large body is moved into the thread that parses it, which keeps running if
/// the client gives up.
pub(crate) async fn parse<R>(
    blocking: &dyn Blocking,
    head: Parts,
    body: Bytes,
    path: Vec<String>,
) -> Result<R, ApiError>
where
    R: IncomingRequest + Send + 'static,
{
    if body.len() <= LARGE {
        return request(head, &body, &path);
    }
    database::blocking::run(blocking, move || request(head, &body, &path)).await
}

/// `path` has the decoded parameters of the path.
pub(crate) fn request<R: IncomingRequest>(
    head: Parts,
    body: &[u8],
    path: &[String],
) -> Result<R, ApiError> {
    // Serde does not validate strings that it skips.
    str::from_utf8(body).map_err(ApiError::not_json)?;
    check_form(body)?;
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let request = Request::from_parts(head, body);
    R::try_from_http_request_inner(request, &path).map_err(|error| refuse(&error, body))
}

fn refuse(error: &DeserializationError, body: &[u8]) -> ApiError {
    match error {
        DeserializationError::Json(error) => refuse_json(error, body),
        DeserializationError::Utf8(error) => ApiError::not_json(error),
        DeserializationError::Query(error) if is_missing(error) => ApiError::missing_param(error),
        DeserializationError::Query(error) => ApiError::invalid_param(error),
        DeserializationError::Ident(error) => ApiError::invalid_param(error),
        DeserializationError::Header(error) => ApiError::missing_param(error),
        other => ApiError::bad_json(other),
    }
}

/// Invalid JSON takes precedence: ruma may report the shape of a body that is cut off further on.
fn refuse_json(error: &serde_json::Error, body: &[u8]) -> ApiError {
    if !body.is_empty() && !is_json(body) {
        return ApiError::not_json(error);
    }
    if is_missing(error) {
        ApiError::missing_param(error)
    } else {
        ApiError::bad_json(error)
    }
}

/// Serde's errors have no kinds.
fn is_missing(error: &impl Display) -> bool {
    error.to_string().starts_with("missing field")
}

#[cfg(test)]
mod tests {
    use ruma::api::client::{
        alias::create_alias, message::get_message_events, profile::set_display_name,
        redact::redact_event, state::send_state_event,
    };

    use super::*;

    fn errcode<R: IncomingRequest>(uri: &str, body: &[u8], path: &[&str]) -> String {
        let head = Request::builder()
            .uri(uri)
            .body(())
            .expect("a valid request");
        let path: Vec<String> = path.iter().map(ToString::to_string).collect();
        match request::<R>(head.into_parts().0, body, &path) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.errcode().to_owned(),
        }
    }

    #[test]
    fn invalid_json_is_distinguished_from_json_of_the_wrong_shape() {
        let of =
            |body: &[u8]| errcode::<redact_event::v3::Request>("/", body, &["!a:b", "$a", "1"]);

        assert_eq!(of(b"{\"reason\":\"a\x81\"}"), "M_NOT_JSON");
        assert_eq!(of(b"{\"test\":\"a\x81\"}"), "M_NOT_JSON");
        assert_eq!(of(b"{\"reason\":"), "M_NOT_JSON");
        assert_eq!(of(b"{\"reason\":5, oh"), "M_NOT_JSON");
        assert_eq!(of(b"[]"), "M_BAD_JSON");
        assert_eq!(of(b"{\"reason\":5}"), "M_BAD_JSON");
        assert_eq!(of(b"{\"reason\":\"spam\"}"), "accepted");
    }

    #[test]
    fn a_missing_field_is_a_missing_parameter() {
        let of = |body: &[u8]| errcode::<create_alias::v3::Request>("/", body, &["#a:b"]);

        assert_eq!(of(b"{}"), "M_MISSING_PARAM");
        assert_eq!(of(b"{\"room_id\":\"nonsense\"}"), "M_BAD_JSON");
    }

    #[test]
    fn an_empty_body_is_an_empty_object() {
        let of = |body: &[u8]| errcode::<set_display_name::v3::Request>("/", body, &["@a:b"]);

        assert_eq!(of(b""), "accepted");
    }

    #[test]
    fn a_bad_path_or_query_is_a_parameter_error() {
        type Messages = get_message_events::v3::Request;

        assert_eq!(
            errcode::<Messages>("/?dir=b", b"", &["nonsense"]),
            "M_INVALID_PARAM"
        );
        assert_eq!(
            errcode::<Messages>("/?dir=x", b"", &["!a:b"]),
            "M_INVALID_PARAM"
        );
        assert_eq!(errcode::<Messages>("/", b"", &["!a:b"]), "M_MISSING_PARAM");
        assert_eq!(errcode::<Messages>("/?dir=b", b"", &["!a:b"]), "accepted");
    }

    #[test]
    fn a_state_key_may_be_left_out() {
        let path = &["!a:b", "m.room.name"];
        assert_eq!(
            errcode::<send_state_event::v3::Request>("/", b"{}", path),
            "accepted"
        );
    }
}
