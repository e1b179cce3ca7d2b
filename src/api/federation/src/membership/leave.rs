//! `PUT /_matrix/federation/v2/send_leave/{roomId}/{eventId}` and its version 1: server-server API, "Leaving Rooms".

use edge::{ApiError, Call, Empty, RawJson, State};
use rooms_remote::{Handshake, RemoteRooms};
use ruma::{EventId, RoomId, ServerName, api::federation::membership::create_leave_event};

use super::{
    old_request::{SendLeave, Sent},
    refuse,
};

pub(super) async fn send_leave(
    State(remote): State<RemoteRooms>,
    call: Call<create_leave_event::v2::Request>,
) -> Result<Empty, ApiError> {
    let create_leave_event::v2::Request {
        room_id,
        event_id,
        pdu,
        ..
    } = &call.request;
    leave(&remote, &call.caller.name, room_id, event_id, pdu.get()).await?;
    Ok(Empty)
}

/// The same answer, in a list after a number that once was the status.
pub(super) async fn send_leave_v1(
    State(remote): State<RemoteRooms>,
    call: Call<SendLeave>,
) -> Result<RawJson, ApiError> {
    let SendLeave(Sent {
        room_id,
        event_id,
        pdu,
    }) = &call.request;
    leave(&remote, &call.caller.name, room_id, event_id, pdu.get()).await?;
    Ok(RawJson(b"[200,{}]".to_vec()))
}

async fn leave(
    remote: &RemoteRooms,
    server: &ServerName,
    room_id: &RoomId,
    event_id: &EventId,
    pdu: &str,
) -> Result<(), ApiError> {
    let event = remote.accept(server, room_id, event_id, pdu, Handshake::Leave);
    event.await.map_err(refuse)?;
    Ok(())
}
