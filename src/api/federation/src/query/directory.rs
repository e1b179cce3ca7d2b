//! `GET /_matrix/federation/v1/query/directory`: server-server API, "Querying for information".

use edge::{ApiError, Call, State};
use rooms_directory::RoomDirectory;
use ruma::api::federation::query::get_room_information::v1::{Request, Response};

use crate::refusal::refuse;

pub(super) async fn directory(
    State(directory): State<RoomDirectory>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let alias = &call.request.room_alias;
    let room_id = directory.resolve_alias(alias).await.map_err(refuse)?;
    let servers = directory.servers_of(&room_id).await.map_err(refuse)?;
    Ok(Response::new(room_id, servers))
}
