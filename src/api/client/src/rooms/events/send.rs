//! `PUT /rooms/{roomId}/send/{eventType}/{txnId}`: client-server API, "Sending events to a room".

use edge::{ApiError, Call, State};
use presence::Presence;
use rooms_writer::{Message, RoomWriter, TransactionId};
use ruma::{
    api::client::message::send_message_event::v3::{Request, Response},
    events::MessageLikeEventType,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::rooms::refusal::refuse;

pub(super) async fn send(
    State(presence): State<Presence>,
    State(rooms): State<RoomWriter>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let request = call.request;
    if request.event_type == MessageLikeEventType::RoomMessage {
        check_message(request.body.json())?;
    }
    let message = Message {
        sender: call.caller.user_id.clone(),
        kind: request.event_type.to_string(),
        content: request.body.into_json(),
        transaction: Some(TransactionId {
            device: call.caller.device_id.clone(),
            id: request.txn_id.to_string(),
        }),
        // Only application services may set the time.
        timestamp: None,
    };
    let sent = rooms
        .send(&request.room_id, message)
        .await
        .map_err(refuse)?;
    presence.active(call.caller.number, call.caller.device_id.as_str());
    Ok(Response::new(sent.event_id))
}

/// What every `m.room.message` has.
#[derive(Deserialize)]
struct TextMessage {
    #[serde(rename = "msgtype")]
    _kind: String,
    #[serde(rename = "body")]
    _body: String,
}

fn check_message(content: &RawValue) -> Result<(), ApiError> {
    let message: Result<TextMessage, _> = serde_json::from_str(content.get());
    message.map(drop).map_err(ApiError::bad_json)
}
