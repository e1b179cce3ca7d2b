//! `GET /rooms/{roomId}/event/{eventId}`: client-server API, "Getting events for a room".

use edge::{ApiError, Call, RawJson, State};
use rooms_history::History;
use ruma::api::client::room::get_room_event::v3::Request;

use super::reader;
use crate::rooms::refusal::refuse;

pub(super) async fn event(
    State(rooms): State<History>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let Request {
        room_id, event_id, ..
    } = &call.request;
    let event = rooms
        .event_for(room_id, &reader(&call.caller), event_id)
        .await;
    event.map(RawJson).map_err(refuse)
}
