//! `PUT /user/{userId}/rooms/{roomId}/account_data/{type}`: client-server API, "Client Config".

use edge::{ApiError, Call, Empty, State};
use rooms_store::RoomStore;
use ruma::{
    OwnedRoomId, OwnedUserId,
    api::{
        IncomingRequest, auth_scheme::AccessToken,
        client::config::set_room_account_data::v3::Response, error::DeserializationError, metadata,
    },
};
use serde_json::value::RawValue;
use users::Users;

use crate::{
    account_data::{check, require_own, require_room},
    path::path,
};

/// Ours, because the type must stay as it stands in the path: ruma replaces those that have got a new name.
pub(crate) struct Request {
    user_id: OwnedUserId,
    room_id: OwnedRoomId,
    kind: String,
    content: Box<RawValue>,
}

metadata! {
    @for Request,
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
        1.1 => "/_matrix/client/v3/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
    }
}

impl IncomingRequest for Request {
    type EndpointError = ruma::api::error::Error;
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        let (user_id, room_id, kind) = path(arguments)?;
        Ok(Self {
            user_id,
            room_id,
            kind,
            content: serde_json::from_slice(request.body())?,
        })
    }
}

pub(crate) async fn set_room(
    State(users): State<Users>,
    State(rooms): State<RoomStore>,
    call: Call<Request>,
) -> Result<Empty, ApiError> {
    let Request {
        user_id,
        room_id,
        kind,
        content,
    } = call.request;
    require_own(&call.caller, &user_id)?;
    check(&kind, content.get())?;
    let room = require_room(&rooms, &users.snapshot().await?, &room_id).await?;
    users
        .set_account_data(call.caller.number, Some(room), &kind, content.get())
        .await?;
    Ok(Empty)
}
