//! `PUT /rooms/{roomId}/redact/{eventId}/{txnId}`: client-server API, "Redactions".

use edge::{ApiError, Call, State};
use presence::Presence;
use rooms_writer::{Redaction, RoomWriter, TransactionId};
use ruma::api::client::redact::redact_event::v3::{Request, Response};
use serde_json::Map;

use crate::rooms::refusal::refuse;

pub(super) async fn redact(
    State(presence): State<Presence>,
    State(rooms): State<RoomWriter>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let request = call.request;
    let mut content = Map::new();
    if let Some(reason) = request.reason {
        content.insert("reason".to_owned(), reason.into());
    }
    let redaction = Redaction {
        sender: call.caller.user_id.clone(),
        target: request.event_id,
        content,
        transaction: Some(TransactionId {
            device: call.caller.device_id.clone(),
            id: request.txn_id.to_string(),
        }),
    };
    let sent = rooms
        .redact(&request.room_id, redaction)
        .await
        .map_err(refuse)?;
    presence.active(call.caller.number, call.caller.device_id.as_str());
    Ok(Response::new(sent.event_id))
}
