//! `GET /rooms/{roomId}/relations/{eventId}[/{relType}[/{eventType}]]`: client-server API, "Forming relationships between events".

use edge::{ApiError, Call, RawJson, State, User};
use rooms_history::{Direction, History, RelationsRequest};
use ruma::{
    OwnedEventId, OwnedRoomId,
    api::client::relations::{
        get_relating_events as any, get_relating_events_with_rel_type as with_relation,
        get_relating_events_with_rel_type_and_event_type as with_kind,
    },
};

use super::{begin, limit};
use crate::rooms::{
    events::{reader, token},
    refusal::refuse,
};

/// Events of a page where the client asks for no number.
const USUAL: usize = 50;

/// What the three forms of the request have in common.
macro_rules! wanted {
    ($request:ident, $relation:expr, $kind:expr) => {
        RelationsRequest {
            from: token($request.from.as_deref())?,
            to: token($request.to.as_deref())?,
            direction: match $request.dir {
                ruma::api::Direction::Backward => Direction::Backward,
                ruma::api::Direction::Forward => Direction::Forward,
            },
            limit: limit($request.limit, USUAL)?,
            recurse: $request.recurse,
            relation: $relation,
            kind: $kind,
        }
    };
}

pub(in crate::rooms) async fn all(
    State(rooms): State<History>,
    call: Call<any::v1::Request>,
) -> Result<RawJson, ApiError> {
    let request = call.request;
    let wanted = wanted!(request, None, None);
    let from = request.from;
    answer(
        &rooms,
        &call.caller,
        request.room_id,
        request.event_id,
        wanted,
        from,
    )
    .await
}

pub(in crate::rooms) async fn of_relation(
    State(rooms): State<History>,
    call: Call<with_relation::v1::Request>,
) -> Result<RawJson, ApiError> {
    let request = call.request;
    let relation = Some(request.rel_type.to_string());
    let wanted = wanted!(request, relation, None);
    let from = request.from;
    answer(
        &rooms,
        &call.caller,
        request.room_id,
        request.event_id,
        wanted,
        from,
    )
    .await
}

pub(in crate::rooms) async fn of_relation_and_kind(
    State(rooms): State<History>,
    call: Call<with_kind::v1::Request>,
) -> Result<RawJson, ApiError> {
    let request = call.request;
    let relation = Some(request.rel_type.to_string());
    let kind = Some(request.event_type.to_string());
    let wanted = wanted!(request, relation, kind);
    let from = request.from;
    answer(
        &rooms,
        &call.caller,
        request.room_id,
        request.event_id,
        wanted,
        from,
    )
    .await
}

async fn answer(
    rooms: &History,
    caller: &User,
    room_id: OwnedRoomId,
    parent: OwnedEventId,
    wanted: RelationsRequest,
    from: Option<String>,
) -> Result<RawJson, ApiError> {
    let page = rooms
        .relations(&room_id, &reader(caller), &parent, &wanted)
        .await
        .map_err(refuse)?;
    let mut out = begin(&page.chunk, page.next);
    // A token, as it was checked above, needs no escapes.
    if let Some(from) = from.filter(|from| !from.is_empty()) {
        out.extend_from_slice(format!(r#","prev_batch":"{from}""#).as_bytes());
    }
    if let Some(depth) = page.depth {
        out.extend_from_slice(format!(r#","recursion_depth":{depth}"#).as_bytes());
    }
    out.push(b'}');
    Ok(RawJson(out))
}
