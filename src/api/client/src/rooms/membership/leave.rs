//! `POST /rooms/{roomId}/leave`: client-server API, "Leaving rooms". Also rejects an invite and takes back a knock.

use edge::{ApiError, Call, State};
use rooms_writer::{Change, MembershipRequest, RoomWriter};
use ruma::api::client::membership::leave_room::v3::{Request, Response};

use crate::rooms::refusal::refuse;

pub(super) async fn leave(
    State(rooms): State<RoomWriter>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let user = call.caller.user_id.clone();
    let request = MembershipRequest::own(user, Change::Leave).because(call.request.reason);
    rooms
        .change_membership(&call.request.room_id, request)
        .await
        .map_err(refuse)?;
    Ok(Response::new())
}
