//! `GET`, `PUT` and `DELETE /directory/room/{roomAlias}`: client-server API, "Room aliases".

use edge::{ApiError, Call, State};
use rooms_directory::RoomDirectory;
use rooms_remote::RemoteRooms;
use ruma::api::client::alias::{create_alias, delete_alias, get_alias};

use crate::rooms::refusal::refuse;

pub(super) async fn get(
    State(remote): State<RemoteRooms>,
    call: Call<get_alias::v3::Request>,
) -> Result<get_alias::v3::Response, ApiError> {
    let resolved = remote.resolve_alias(&call.request.room_alias);
    let resolved = resolved.await.map_err(refuse)?;
    Ok(get_alias::v3::Response::new(
        resolved.room_id,
        resolved.servers,
    ))
}

pub(super) async fn put(
    State(rooms): State<RoomDirectory>,
    call: Call<create_alias::v3::Request>,
) -> Result<create_alias::v3::Response, ApiError> {
    let create_alias::v3::Request {
        room_alias,
        room_id,
        ..
    } = &call.request;
    rooms
        .create_alias(room_alias, room_id, call.caller.number)
        .await
        .map_err(refuse)?;
    Ok(create_alias::v3::Response::new())
}

pub(super) async fn delete(
    State(rooms): State<RoomDirectory>,
    call: Call<delete_alias::v3::Request>,
) -> Result<delete_alias::v3::Response, ApiError> {
    let alias = &call.request.room_alias;
    let caller = &call.caller;
    rooms
        .delete_alias(alias, caller.number, &caller.user_id)
        .await
        .map_err(refuse)?;
    Ok(delete_alias::v3::Response::new())
}
