//! `Call<R>`: who asks, from where, for what. Made from an HTTP request by ruma's `IncomingRequest`.
//!
//! Ruma says *that* a request has the wrong form; here it is said in the spec's errcodes. The order of checks: who asks, rate limits,
//! then the body, so that strangers cannot make the server read much.

use std::{fmt::Display, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, request::Parts};
use percent_encoding::percent_decode_str;
use ruma::api::{IncomingRequest, Metadata, error::DeserializationError};

use crate::{
    ApiError, Caller, ClientAddress, Gate, Payload, Rule, Scheme, User,
    body::{check_form, is_json},
    limits::{Class, Payer},
};

/// A request that was let in. `caller` is a `User` where the request type asks for an access token, `Option<User>` where the
/// token is optional, `Server` where it asks for the signature of a server, else `Anonymous`.
pub struct Call<R: Metadata<Authentication: Scheme>> {
    pub caller: <R::Authentication as Scheme>::Caller,
    pub request: R,
    pub client: ClientAddress,
}

/// A request on its way to its endpoint. Boxed, and freed before the handler runs.
#[doc(hidden)]
pub struct Exchange {
    pub(crate) parts: Parts,
    pub(crate) payload: Payload,
    /// The path's parameters, still percent-encoded.
    pub(crate) arguments: Vec<String>,
    pub(crate) client: ClientAddress,
    pub(crate) gate: Arc<Gate>,
}

impl<R> Call<R>
where
    R: IncomingRequest + Metadata<Authentication: Scheme>,
{
    pub(crate) async fn read(exchange: Box<Exchange>, rule: Rule) -> Result<Self, ApiError> {
        let Exchange {
            parts,
            payload,
            arguments,
            client,
            gate,
        } = *exchange;
        let caller = admit::<R::Authentication>(&gate, &parts, client, rule).await?;
        let body = match R::METHOD {
            Method::GET => Bytes::new(),
            _ => payload.read(rule.body, &gate.bodies).await?,
        };
        caller.confirm(&parts, &body)?;
        let request = parse(parts, &body, &arguments)?;
        Ok(Self {
            caller,
            request,
            client,
        })
    }

    pub(crate) fn user(&self) -> Option<&User> {
        self.caller.user()
    }
}

/// Authenticates as the scheme asks and charges the rate limits.
pub(crate) async fn admit<A: Scheme>(
    gate: &Gate,
    parts: &Parts,
    client: ClientAddress,
    rule: Rule,
) -> Result<A::Caller, ApiError> {
    let caller = A::identify(gate, parts).await?;
    if let Some(user) = caller.user() {
        gate.users.seen(user, client.0);
    }
    charge(gate, &caller, client, rule.class)?;
    Ok(caller)
}

fn charge(
    gate: &Gate,
    caller: &impl Caller,
    client: ClientAddress,
    class: Class,
) -> Result<(), ApiError> {
    let Some(limiter) = &gate.limiter else {
        return Ok(());
    };
    let payer = match caller.user() {
        Some(user) => Payer::User(user.number),
        None => Payer::Address(client.subscriber()),
    };
    let now = gate.clock.monotonic();
    limiter
        .charge(Class::General, payer, now)
        .map_err(ApiError::limit_exceeded)?;
    if class != Class::General {
        limiter
            .charge(class, payer, now)
            .map_err(ApiError::limit_exceeded)?;
    }
    Ok(())
}

pub(crate) fn parse<R: IncomingRequest>(
    parts: Parts,
    body: &Bytes,
    arguments: &[String],
) -> Result<R, ApiError> {
    // Serde does not look into strings that nobody asks for.
    str::from_utf8(body).map_err(ApiError::not_json)?;
    check_form(body)?;
    let decoded = arguments
        .iter()
        .map(|argument| percent_decode_str(argument).decode_utf8())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| ApiError::invalid_param("The path is not UTF-8"))?;
    let arguments: Vec<&str> = decoded.iter().map(AsRef::as_ref).collect();
    let request = Request::from_parts(parts, body.as_ref());
    R::try_from_http_request_inner(request, &arguments).map_err(|error| refuse(&error, body))
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

/// Whether it is JSON at all decides first: ruma may stumble over the form of a body that is broken further on.
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

/// Serde has no other way to say so.
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

    fn errcode<R: IncomingRequest>(uri: &str, body: &[u8], arguments: &[&str]) -> String {
        let request = Request::builder()
            .uri(uri)
            .body(())
            .expect("a valid request");
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let body = Bytes::copy_from_slice(body);
        match parse::<R>(request.into_parts().0, &body, &arguments) {
            Ok(_) => "accepted".to_owned(),
            Err(error) => error.errcode().to_owned(),
        }
    }

    #[test]
    fn what_is_no_json_is_told_from_json_of_the_wrong_form() {
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
        assert_eq!(errcode::<Messages>("/?dir=b", b"", &["!a%3Ab"]), "accepted");
        assert_eq!(
            errcode::<Messages>("/?dir=b", b"", &["%ff"]),
            "M_INVALID_PARAM"
        );
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
