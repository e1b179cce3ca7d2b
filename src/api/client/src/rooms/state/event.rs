//! `GET` and `PUT /rooms/{roomId}/state/{eventType}/{stateKey}`: client-server API, "Getting events for a room" and
//! "Sending events to a room". The state key may be left out when it is empty.

use edge::{ApiError, Call, RawJson, State};
use http::StatusCode;
use presence::Presence;
use rooms_history::{History, StateFormat};
use rooms_store::RoomError;
use rooms_writer::RoomWriter;
use ruma::api::client::state::{
    get_state_event_for_key::{self, v3::StateEventFormat},
    send_state_event,
};

use crate::rooms::refusal::refuse;

pub(super) async fn get(
    State(rooms): State<History>,
    call: Call<get_state_event_for_key::v3::Request>,
) -> Result<RawJson, ApiError> {
    let request = &call.request;
    let format = match request.format {
        StateEventFormat::Content => StateFormat::Content,
        StateEventFormat::Event => StateFormat::Event,
        _ => {
            return Err(ApiError::invalid_param(
                "`format` must be `content` or `event`",
            ));
        }
    };
    let kind = request.event_type.to_string();
    let event = rooms
        .state_event_for(
            &request.room_id,
            call.caller.number,
            &kind,
            &request.state_key,
            format,
        )
        .await
        .map_err(refuse)?;
    event
        .map(RawJson)
        .ok_or_else(|| ApiError::not_found("the room has no such state"))
}

pub(super) async fn put(
    State(presence): State<Presence>,
    State(rooms): State<RoomWriter>,
    call: Call<send_state_event::v3::Request>,
) -> Result<send_state_event::v3::Response, ApiError> {
    let request = call.request;
    let state = rooms_writer::State {
        sender: call.caller.user_id.clone(),
        kind: request.event_type.to_string(),
        state_key: request.state_key,
        content: request.body.into_json(),
        // Only application services may set the time.
        timestamp: None,
    };
    match rooms.set_state(&request.room_id, state).await {
        Ok(sent) => {
            presence.active(call.caller.number, call.caller.device_id.as_str());
            Ok(send_state_event::v3::Response::new(sent.event_id))
        }
        Err(error @ RoomError::UnknownAlias) => {
            Err(ApiError::new(StatusCode::BAD_REQUEST, "M_BAD_ALIAS", error))
        }
        Err(error) => Err(refuse(error)),
    }
}
