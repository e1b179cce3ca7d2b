//! `GET /_matrix/federation/v1/state/{roomId}`: server-server API, "Retrieving events".

use edge::{ApiError, Call, RawJson, State};
use rooms_remote::RemoteRooms;
use ruma::api::federation::event::get_room_state::v1::Request;

use crate::{pdus, refusal::refuse};

pub(super) async fn state(
    State(remote): State<RemoteRooms>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let Request {
        room_id, event_id, ..
    } = &call.request;
    let found = remote.state_for(&call.caller.name, room_id, event_id);
    let found = found.await.map_err(refuse)?;
    let mut out = br#"{"auth_chain":"#.to_vec();
    pdus::write(&mut out, found.auth_chain.iter().map(|event| event.json()));
    out.extend_from_slice(br#","pdus":"#);
    pdus::write(&mut out, found.state.iter().map(|event| event.json()));
    out.push(b'}');
    Ok(RawJson(out))
}
