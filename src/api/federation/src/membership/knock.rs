//! `PUT /_matrix/federation/v1/send_knock/{roomId}/{eventId}`: server-server API, "Knocking upon a room".

use edge::{ApiError, Call, RawJson, State};
use rooms_remote::{Handshake, RemoteRooms};
use ruma::api::federation::membership::create_knock_event::v1::Request;

use super::refuse;
use crate::pdus;

pub(super) async fn send_knock(
    State(remote): State<RemoteRooms>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let Request {
        room_id,
        event_id,
        pdu,
        ..
    } = &call.request;
    let event = remote.accept(
        &call.caller.name,
        room_id,
        event_id,
        pdu.get(),
        Handshake::Knock,
    );
    let event = event.await.map_err(refuse)?;
    let state = remote
        .knock_state(&event)
        .await
        .map_err(crate::refusal::refuse)?;
    let mut out = br#"{"knock_room_state":"#.to_vec();
    pdus::write(&mut out, state.iter().map(|event| event.json()));
    out.push(b'}');
    Ok(RawJson(out))
}
