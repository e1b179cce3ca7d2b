//! `GET /rooms/{roomId}/aliases`: client-server API, "Room aliases".

use edge::{ApiError, Call, Json, State};
use rooms_directory::RoomDirectory;
use ruma::api::client::room::aliases::v3::Request;
use serde_json::{Value, json};

use crate::rooms::refusal::refuse;

pub(super) async fn aliases(
    State(rooms): State<RoomDirectory>,
    call: Call<Request>,
) -> Result<Json<Value>, ApiError> {
    let aliases = rooms
        .aliases_for(&call.request.room_id, call.caller.number)
        .await;
    Ok(Json(json!({ "aliases": aliases.map_err(refuse)? })))
}
