//! `GET /_matrix/federation/v1/event_auth/{roomId}/{eventId}`: server-server API, "Retrieving event authorisation information".

use edge::{ApiError, Call, RawJson, State};
use rooms_remote::RemoteRooms;
use ruma::api::federation::authorization::get_event_authorization::v1::Request;

use crate::{pdus, refusal::refuse};

pub(super) async fn event_auth(
    State(remote): State<RemoteRooms>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let Request {
        room_id, event_id, ..
    } = &call.request;
    let chain = remote.auth_chain_for(&call.caller.name, room_id, event_id);
    let chain = chain.await.map_err(refuse)?;
    let mut out = br#"{"auth_chain":"#.to_vec();
    pdus::write(&mut out, chain.iter().map(|event| event.json()));
    out.push(b'}');
    Ok(RawJson(out))
}
