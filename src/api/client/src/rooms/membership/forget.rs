//! `POST /rooms/{roomId}/forget`: client-server API, "Leaving rooms".

use edge::{ApiError, Call, State};
use rooms_writer::RoomWriter;
use ruma::api::client::membership::forget_room::v3::{Request, Response};

use crate::rooms::refusal::refuse;

pub(super) async fn forget(
    State(rooms): State<RoomWriter>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    rooms
        .forget(&call.request.room_id, call.caller.number)
        .await
        .map_err(refuse)?;
    Ok(Response::new())
}
