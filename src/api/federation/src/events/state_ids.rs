//! `GET /_matrix/federation/v1/state_ids/{roomId}`: server-server API, "Retrieving events".

use edge::{ApiError, Call, State};
use rooms_remote::RemoteRooms;
use ruma::api::federation::event::get_room_state_ids::v1::{Request, Response};

use crate::refusal::refuse;

pub(super) async fn state_ids(
    State(remote): State<RemoteRooms>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let Request {
        room_id, event_id, ..
    } = &call.request;
    let found = remote.state_ids_for(&call.caller.name, room_id, event_id);
    let (state, auth_chain) = found.await.map_err(refuse)?;
    Ok(Response::new(auth_chain, state))
}
