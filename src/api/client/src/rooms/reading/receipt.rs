//! `POST /rooms/{roomId}/receipt/{receiptType}/{eventId}`: client-server API, "Receipts".

use edge::{ApiError, Call, Empty, State};
use http::Request as HttpRequest;
use presence::Presence;
use rooms_history::{History, Markers};
use ruma::{
    OwnedEventId, OwnedRoomId,
    api::{
        IncomingRequest,
        auth_scheme::AccessToken,
        client::receipt::create_receipt::v3::{ReceiptType, Response},
        error::{DeserializationError, Error},
    },
    metadata,
};
use serde_json::{Map, Value};

use crate::{path::path, rooms::refusal::refuse};

/// Ours, because a `thread_id` that makes no sense has an errcode of its own.
pub(in crate::rooms) struct Request {
    room_id: OwnedRoomId,
    receipt_type: ReceiptType,
    event_id: OwnedEventId,
    body: Map<String, Value>,
}

metadata! {
    @for Request,
    method: POST,
    rate_limited: true,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/rooms/{room_id}/receipt/{receipt_type}/{event_id}",
        1.1 => "/_matrix/client/v3/rooms/{room_id}/receipt/{receipt_type}/{event_id}",
    }
}

impl IncomingRequest for Request {
    type EndpointError = Error;
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: HttpRequest<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        let (room_id, receipt_type, event_id) = path(arguments)?;
        // Clients of before threads send no body.
        let body = match request.body() {
            [] => Map::new(),
            body => serde_json::from_slice(body)?,
        };
        Ok(Self {
            room_id,
            receipt_type,
            event_id,
            body,
        })
    }
}

pub(super) async fn receipt(
    State(presence): State<Presence>,
    State(rooms): State<History>,
    call: Call<Request>,
) -> Result<Empty, ApiError> {
    let Request {
        room_id,
        receipt_type,
        event_id,
        body,
    } = call.request;
    let thread = thread(&body)?;
    let markers = match receipt_type {
        ReceiptType::Read => Markers {
            read: Some(event_id),
            thread,
            ..Markers::default()
        },
        ReceiptType::ReadPrivate => Markers {
            read_private: Some(event_id),
            thread,
            ..Markers::default()
        },
        ReceiptType::FullyRead if thread.is_none() => Markers {
            fully_read: Some(event_id),
            ..Markers::default()
        },
        ReceiptType::FullyRead => {
            return Err(ApiError::invalid_param("m.fully_read has no threads"));
        }
        _ => return Err(ApiError::invalid_param("unknown receipt type")),
    };
    rooms
        .mark_read(&room_id, call.caller.number, markers)
        .await
        .map_err(refuse)?;
    presence.active(call.caller.number, call.caller.device_id.as_str());
    Ok(Empty)
}

/// The thread of the receipt; `None` for one of the whole room.
fn thread(body: &Map<String, Value>) -> Result<Option<String>, ApiError> {
    match body.get("thread_id") {
        None => Ok(None),
        Some(Value::String(thread)) if thread == "main" || thread.starts_with('$') => {
            Ok(Some(thread.clone()))
        }
        Some(_) => Err(ApiError::invalid_param(
            "`thread_id` must be `main` or an event id",
        )),
    }
}
