//! `PUT /_matrix/federation/v2/send_join/{roomId}/{eventId}` and its version 1: server-server API, "Joining Rooms".

use std::io::Write as _;

use edge::{ApiError, Call, RawJson, State};
use rooms_remote::{Handshake, RemoteRooms};
use ruma::{EventId, RoomId, ServerName, api::federation::membership::create_join_event};
use serde_json::Value;

use super::{
    old_request::{SendJoin, Sent},
    refuse,
};
use crate::pdus;

pub(super) async fn send_join(
    State(remote): State<RemoteRooms>,
    call: Call<create_join_event::v2::Request>,
) -> Result<RawJson, ApiError> {
    let create_join_event::v2::Request {
        room_id,
        event_id,
        pdu,
        omit_members,
        ..
    } = &call.request;
    let (server, pdu) = (&call.caller.name, pdu.get());
    let answer = join(&remote, server, room_id, event_id, pdu, *omit_members);
    answer.await.map(RawJson)
}

/// The same answer, in a list after a number that once was the status.
pub(super) async fn send_join_v1(
    State(remote): State<RemoteRooms>,
    call: Call<SendJoin>,
) -> Result<RawJson, ApiError> {
    let SendJoin(Sent {
        room_id,
        event_id,
        pdu,
    }) = &call.request;
    let answer = join(
        &remote,
        &call.caller.name,
        room_id,
        event_id,
        pdu.get(),
        false,
    );
    let mut out = b"[200,".to_vec();
    out.extend(answer.await?);
    out.push(b']');
    Ok(RawJson(out))
}

async fn join(
    remote: &RemoteRooms,
    server: &ServerName,
    room_id: &RoomId,
    event_id: &EventId,
    pdu: &str,
    omit_members: bool,
) -> Result<Vec<u8>, ApiError> {
    let event = remote.accept(server, room_id, event_id, pdu, Handshake::Join);
    let event = event.await.map_err(refuse)?;
    let state = remote.joined_state(server, room_id, &event, omit_members);
    let state = state.await.map_err(crate::refusal::refuse)?;
    let mut out = br#"{"auth_chain":"#.to_vec();
    pdus::write(
        &mut out,
        state.served.auth_chain.iter().map(|event| event.json()),
    );
    out.extend_from_slice(br#","state":"#);
    pdus::write(
        &mut out,
        state.served.state.iter().map(|event| event.json()),
    );
    out.extend_from_slice(br#","event":"#);
    out.extend_from_slice(event.json().as_bytes());
    let origin = Value::from(remote.rooms().server_name().as_str());
    // A vector takes every text.
    let _ = write!(
        out,
        r#","origin":{origin},"members_omitted":{}"#,
        state.are_members_omitted
    );
    if let Some(servers) = state.servers {
        let _ = write!(out, r#","servers_in_room":{}"#, Value::from(servers));
    }
    out.push(b'}');
    Ok(out)
}
