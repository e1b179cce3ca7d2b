//! `GET /voip/turnServer`: client-server API, "Voice over IP".

use edge::{ApiError, Call, Json, State};
use ruma::api::client::voip::get_turn_server_info::v3::Request;
use serde_json::{Value, json};

use super::Turn;

pub(super) async fn turn_server(
    State(turn): State<Option<Turn>>,
    call: Call<Request>,
) -> Result<Json<Value>, ApiError> {
    let turn = turn.ok_or_else(|| ApiError::not_found("This server has no TURN servers"))?;
    let credentials = turn.credentials(&call.caller.user_id);
    Ok(Json(json!({
        "username": credentials.username,
        "password": credentials.password,
        "uris": credentials.uris,
        "ttl": credentials.lifetime.as_secs(),
    })))
}
