//! `GET /rooms/{roomId}/context/{eventId}`: client-server API, "Event Context".

use edge::{ApiError, Call, RawJson, State};
use rooms_history::{ContextRequest, EventFilter, History};
use ruma::api::client::context::get_context::v3::Request;

use super::reader;
use crate::rooms::refusal::refuse;

pub(super) async fn context(
    State(rooms): State<History>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let request = &call.request;
    let wanted = ContextRequest {
        limit: usize::try_from(u64::from(request.limit)).unwrap_or(usize::MAX),
        filter: EventFilter::from(&request.filter),
    };
    let reader = reader(&call.caller);
    let context = rooms
        .context(&request.room_id, &reader, &request.event_id, &wanted)
        .await;
    let context = context.map_err(refuse)?;
    let length = context.before.len() + context.after.len() + context.state.len();
    let mut out = Vec::with_capacity(length + context.event.len() + 256);
    out.extend_from_slice(
        format!(r#"{{"start":"{}","end":"{}""#, context.start, context.end).as_bytes(),
    );
    out.extend_from_slice(br#","event":"#);
    out.extend_from_slice(&context.event);
    for (name, events) in [
        (r#","events_before":["#, &context.before),
        (r#"],"events_after":["#, &context.after),
        (r#"],"state":["#, &context.state),
    ] {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(events);
    }
    out.extend_from_slice(b"]}");
    Ok(RawJson(out))
}
