//! `DELETE /user/{userId}/rooms/{roomId}/account_data/{type}`: MSC3391.

use edge::{ApiError, Call, Empty, State};
use rooms_store::RoomStore;
use ruma::{
    OwnedRoomId, OwnedUserId,
    api::{
        IncomingRequest, auth_scheme::AccessToken,
        client::config::set_room_account_data::v3::Response, error::DeserializationError, metadata,
    },
};
use serde::Deserialize;
use users::Users;

use crate::{
    account_data::{check_kind, require_own, require_room},
    path::path,
};

/// Ours, because ruma has none.
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

impl IncomingRequest for Request {
    type EndpointError = ruma::api::error::Error;
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        _request: http::Request<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        path(arguments)
    }
}

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
    let room = require_room(&rooms, &users.snapshot().await?, &room_id).await?;
    users
        .delete_account_data(call.caller.number, Some(room), &kind)
        .await?;
    Ok(Empty)
}
