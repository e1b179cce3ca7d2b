//! `GET /user/{userId}/rooms/{roomId}/account_data/{type}`: client-server API, "Client Config".

use edge::{ApiError, Call, RawJson, State, own_request};
use rooms_store::RoomStore;
use ruma::{
    OwnedRoomId, OwnedUserId,
    api::{
        auth_scheme::AccessToken, client::config::get_room_account_data::v3::Response, metadata,
    },
};
use serde::Deserialize;
use users::{Users, account_data};

use crate::account_data::{not_set, require_own, require_room};

/// Own request type: the type must stay as it is in the path, and ruma replaces renamed types.
#[derive(Deserialize)]
pub(crate) struct Request {
    user_id: OwnedUserId,
    room_id: OwnedRoomId,
    kind: String,
}

metadata! {
    @for Request,
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
        1.1 => "/_matrix/client/v3/user/{user_id}/rooms/{room_id}/account_data/{event_type}",
    }
}

own_request!(Request => Response, |input| input.path());

pub(crate) async fn get_room(
    State(users): State<Users>,
    State(rooms): State<RoomStore>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let Request {
        user_id,
        room_id,
        kind,
    } = call.request;
    require_own(&call.caller, &user_id)?;
    let db = users.snapshot().await?;
    let room = require_room(&rooms, &db, call.caller.number, &room_id).await?;
    let content = account_data::get(&db, call.caller.number, Some(room), &kind).await?;
    Ok(RawJson(content.ok_or_else(not_set)?.into_bytes()))
}
