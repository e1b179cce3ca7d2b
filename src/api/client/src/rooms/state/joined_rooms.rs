//! `GET /joined_rooms`: client-server API, "Room membership".

use edge::{ApiError, Call, State};
use rooms_history::History;
use ruma::api::client::membership::joined_rooms::v3::{Request, Response};

use crate::rooms::refusal::refuse;

pub(super) async fn joined_rooms(
    State(rooms): State<History>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let db = rooms.rooms().snapshot().await?;
    rooms
        .joined_rooms(&db, call.caller.number)
        .await
        .map(Response::new)
        .map_err(refuse)
}
