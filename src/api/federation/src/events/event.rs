//! `GET /_matrix/federation/v1/event/{eventId}`: server-server API, "Retrieving events".

use std::sync::Arc;

use database::Clock;
use edge::{ApiError, Call, RawJson, State};
use rooms_remote::RemoteRooms;
use ruma::api::federation::event::get_event::v1::Request;

use crate::{refusal::refuse, transaction};

pub(super) async fn event(
    State(remote): State<RemoteRooms>,
    State(clock): State<Arc<dyn Clock>>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let event = remote.event_for(&call.caller.name, &call.request.event_id);
    let event = event.await.map_err(refuse)?;
    let origin = remote.rooms().server_name();
    Ok(transaction::answer(origin, &*clock, &[event]))
}
