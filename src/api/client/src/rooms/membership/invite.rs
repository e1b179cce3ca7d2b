//! `POST /rooms/{roomId}/invite`: client-server API, "Room membership".

use edge::{ApiError, Call, State};
use rooms_writer::{Change, MembershipRequest, RoomWriter};
use ruma::api::client::membership::invite_user::v3::{InvitationRecipient, Request, Response};

use crate::rooms::refusal::refuse;

pub(super) async fn invite(
    State(rooms): State<RoomWriter>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let InvitationRecipient::UserId(invited) = call.request.recipient else {
        return Err(ApiError::forbidden(
            "this server cannot invite by email address or telephone",
        ));
    };
    let sender = call.caller.user_id.clone();
    let request = MembershipRequest::of(sender, invited.user_id, Change::Invite);
    let request = request.because(invited.reason);
    rooms
        .change_membership(&call.request.room_id, request)
        .await
        .map_err(refuse)?;
    Ok(Response::new())
}
