//! `DELETE /user/{userId}/rooms/{roomId}/account_data/{type}`: MSC3391.

use edge::{ApiError, Call, Empty, State, own_request};
use rooms_store::RoomStore;
use ruma::{
    OwnedRoomId, OwnedUserId,
    api::{
        auth_scheme::AccessToken, client::config::set_room_account_data::v3::Response, metadata,
    },
};
use serde::Deserialize;
use users::Users;

use crate::account_data::{check_kind, refuse, require_own, require_room};

/// Own request type: ruma does not define this endpoint.
#[derive(Deserialize)]
pub(crate) struct Request {
    user_id: OwnedUserId,
    room_id: OwnedRoomId,
    kind: String,
}

metadata! {
    @for Request,
    method: DELETE,
    rate_limited: false,
    authentication: AccessToken,
    history: {
        unstable => "/_matrix/client/unstable/org.matrix.msc3391/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
    }
}

own_request!(Request => Response, |input| input.path());

/// Says nothing of whether there was any.
pub(crate) async fn delete_room(
    State(users): State<Users>,
    State(rooms): State<RoomStore>,
    call: Call<Request>,
) -> Result<Empty, ApiError> {
    let Request {
        user_id,
        room_id,
        kind,
    } = call.request;
    require_own(&call.caller, &user_id)?;
    check_kind(&kind)?;
    let room = require_room(
        &rooms,
        &users.snapshot().await?,
        call.caller.number,
        &room_id,
    )
    .await?;
    users
        .delete_account_data(call.caller.number, Some(room), &kind)
        .await
        .map_err(refuse)?;
    Ok(Empty)
}
