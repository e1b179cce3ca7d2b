//! `POST /_matrix/federation/v1/get_missing_events/{roomId}`: server-server API, "Backfilling and retrieving missing events".

use edge::{ApiError, Call, RawJson, State};
use rooms_remote::{RemoteRooms, Served};
use ruma::api::federation::event::get_missing_events::v1::Request;

use crate::{pdus, refusal::refuse};

pub(super) async fn missing_events(
    State(remote): State<RemoteRooms>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let Request {
        room_id,
        limit,
        min_depth,
        earliest_events,
        latest_events,
        ..
    } = &call.request;
    let events = remote.missing_events_for(
        &call.caller.name,
        room_id,
        (earliest_events, latest_events),
        (*min_depth).into(),
        pdus::count(*limit),
    );
    let events = events.await.map_err(refuse)?;
    let mut out = br#"{"events":"#.to_vec();
    pdus::write(&mut out, events.iter().map(Served::json));
    out.push(b'}');
    Ok(RawJson(out))
}
