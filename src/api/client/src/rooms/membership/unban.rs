//! `POST /rooms/{roomId}/unban`: client-server API, "Banning users in a room".

use edge::{ApiError, Call, State};
use rooms_writer::{Change, MembershipRequest, RoomWriter};
use ruma::api::client::membership::unban_user::v3::{Request, Response};

use crate::rooms::refusal::refuse;

pub(super) async fn unban(
    State(rooms): State<RoomWriter>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request {
        room_id,
        user_id,
        reason,
        ..
    } = call.request;
    let sender = call.caller.user_id.clone();
    let request = MembershipRequest::of(sender, user_id, Change::Unban).because(reason);
    rooms
        .change_membership(&room_id, request)
        .await
        .map_err(refuse)?;
    Ok(Response::new())
}
