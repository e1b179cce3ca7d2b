//! `POST /rooms/{roomId}/read_markers`: client-server API, "Fully read markers".

use edge::{ApiError, Call, State};
use rooms_history::{History, Markers};
use ruma::api::client::read_marker::set_read_marker::v3::{Request, Response};

use crate::rooms::refusal::refuse;

pub(super) async fn read_markers(
    State(rooms): State<History>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let request = call.request;
    let markers = Markers {
        fully_read: request.fully_read,
        read: request.read_receipt,
        read_private: request.private_read_receipt,
        thread: None,
    };
    rooms
        .mark_read(&request.room_id, call.caller.number, markers)
        .await
        .map_err(refuse)?;
    Ok(Response::new())
}
