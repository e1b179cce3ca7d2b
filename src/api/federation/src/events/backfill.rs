//! `GET /_matrix/federation/v1/backfill/{roomId}`: server-server API, "Backfilling and retrieving missing events".

use std::sync::Arc;

use database::Clock;
use edge::{ApiError, Call, RawJson, State};
use rooms_remote::RemoteRooms;
use ruma::api::federation::backfill::get_backfill::v1::Request;

use crate::{pdus, refusal::refuse, transaction};

pub(super) async fn backfill(
    State(remote): State<RemoteRooms>,
    State(clock): State<Arc<dyn Clock>>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let Request {
        room_id, v, limit, ..
    } = &call.request;
    let (server, limit) = (&call.caller.name, pdus::count(*limit));
    let events = remote.backfill_for(server, room_id, v, limit);
    let events = events.await.map_err(refuse)?;
    let origin = remote.rooms().server_name();
    Ok(transaction::answer(origin, &*clock, &events))
}
