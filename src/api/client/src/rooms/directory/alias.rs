//! `GET`, `PUT` and `DELETE /directory/room/{roomAlias}`: client-server API, "Room aliases".

use edge::{ApiError, Call, State};
use rooms_directory::RoomDirectory;
use rooms_store::RoomError;
use ruma::api::client::alias::{create_alias, delete_alias, get_alias};

use crate::rooms::refusal::refuse;

pub(super) async fn get(
    State(rooms): State<RoomDirectory>,
    call: Call<get_alias::v3::Request>,
) -> Result<get_alias::v3::Response, ApiError> {
    let room_id = rooms
        .resolve_alias(&call.request.room_alias)
        .await
        .map_err(|error| match error {
            RoomError::Remote(_) => ApiError::not_found(error),
            error => refuse(error),
        })?;
    Ok(get_alias::v3::Response::new(
        room_id,
        vec![rooms.rooms().server_name().to_owned()],
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
