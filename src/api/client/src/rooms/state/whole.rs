//! `GET /rooms/{roomId}/state`: client-server API, "Getting events for a room".

use edge::{ApiError, Call, RawJson, State};
use rooms_history::History;
use ruma::api::client::state::get_state_events::v3::Request;

use crate::rooms::refusal::refuse;

pub(super) async fn state(
    State(rooms): State<History>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let state = rooms
        .state_for(&call.request.room_id, call.caller.number)
        .await;
    state.map(RawJson).map_err(refuse)
}
