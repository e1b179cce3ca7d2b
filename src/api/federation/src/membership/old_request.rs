//! The requests of version 1 of `send_join` and `send_leave`, which ruma does not define.

use ruma::{
    OwnedEventId, OwnedRoomId,
    api::{
        IncomingRequest, client::account::whoami::v3::Response, error::DeserializationError,
        federation::authentication::ServerSignatures,
    },
    metadata,
};
use serde_json::value::RawValue;

pub(super) struct SendJoin(pub(super) Sent);

pub(super) struct SendLeave(pub(super) Sent);

/// What both have.
pub(super) struct Sent {
    pub(super) room_id: OwnedRoomId,
    pub(super) event_id: OwnedEventId,
    pub(super) pdu: Box<RawValue>,
}

metadata! {
    @for SendJoin,
    method: PUT,
    rate_limited: false,
    authentication: ServerSignatures,
    path: "/_matrix/federation/v1/send_join/{room_id}/{event_id}",
}

metadata! {
    @for SendLeave,
    method: PUT,
    rate_limited: false,
    authentication: ServerSignatures,
    path: "/_matrix/federation/v1/send_leave/{room_id}/{event_id}",
}

impl IncomingRequest for SendJoin {
    type EndpointError = ruma::api::error::Error;
    /// Not what is answered: that is JSON of our own.
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        Sent::read(&request, arguments).map(Self)
    }
}

impl IncomingRequest for SendLeave {
    type EndpointError = ruma::api::error::Error;
    /// Not what is answered: that is JSON of our own.
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        Sent::read(&request, arguments).map(Self)
    }
}

impl Sent {
    fn read(
        request: &http::Request<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        let argument = |at: usize| arguments.get(at).copied().unwrap_or_default();
        Ok(Self {
            room_id: argument(0).try_into()?,
            event_id: argument(1).try_into()?,
            pdu: serde_json::from_slice(request.body())?,
        })
    }
}
