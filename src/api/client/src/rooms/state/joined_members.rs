//! `GET /rooms/{roomId}/joined_members`: client-server API, "Getting events for a room". `display_name` and `avatar_url` are
//! there also as null.

use edge::{ApiError, Call, RawJson, State};
use rooms_history::History;
use ruma::api::client::membership::joined_members::v3::Request;

use crate::rooms::refusal::refuse;

pub(super) async fn joined_members(
    State(rooms): State<History>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let joined = rooms
        .joined_members_for(&call.request.room_id, call.caller.number)
        .await;
    let joined = joined.map_err(refuse)?;
    Ok(RawJson([br#"{"joined":{"#, &joined[..], b"}}"].concat()))
}
