//! `GET /unstable/chat.aqueduct.online/rooms/{roomId}`: how many members of a room are online, and
//! who. For its members, and for everybody where the room is world readable.

use database::{RoomNumber, Snapshot, UserNumber};
use edge::{ApiError, Call, Json, State};
use presence::Presence;
use rooms_history::{History, HistoryVisibility};
use rooms_store::{RoomError, RoomStore};
use ruma::{
    OwnedRoomId, RoomId,
    api::{
        IncomingRequest,
        auth_scheme::AccessToken,
        error::{DeserializationError, Error},
    },
    exports::serde_html_form,
    metadata,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{limit, require};
use crate::path::path;

pub(super) struct Request {
    room_id: OwnedRoomId,
    query: Query,
}

#[derive(Deserialize)]
struct Query {
    #[serde(default)]
    users: bool,
    limit: Option<usize>,
    /// The last user of the page before.
    from: Option<String>,
}

metadata! {
    @for Request,
    method: GET,
    rate_limited: true,
    authentication: AccessToken,
    history: {
        unstable => "/_matrix/client/unstable/chat.aqueduct.online/rooms/{room_id}",
    }
}

impl IncomingRequest for Request {
    type EndpointError = Error;
    type OutgoingResponse = ruma::api::client::presence::set_presence::v3::Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        let (room_id,) = path(arguments)?;
        let query = serde_html_form::from_str(request.uri().query().unwrap_or_default())?;
        Ok(Self { room_id, query })
    }
}

pub(super) async fn online(
    State(presence): State<Presence>,
    State(history): State<History>,
    call: Call<Request>,
) -> Result<Json<Value>, ApiError> {
    require(&presence)?;
    let Request { room_id, query } = call.request;
    let rooms = history.rooms();
    let db = rooms.snapshot().await?;
    let room = readable(&history, &db, &room_id, call.caller.number).await?;
    let joined = rooms.head(&db, room).await.map_err(refuse)?.joined;
    if !query.users {
        let online = presence.online(&db, room).await?;
        return Ok(Json(json!({ "online": online, "joined": joined })));
    }
    let users = presence.online_users(&db, room).await?;
    let online = users.len();
    let (page, next) = page(rooms, &db, &users, &query).await?;
    let mut answer = json!({ "online": online, "joined": joined, "users": page });
    if let Some(next) = next {
        answer["next"] = next.into();
    }
    Ok(Json(answer))
}

/// The room, if the caller may know who is in it. Nobody learns whether another room exists.
async fn readable(
    history: &History,
    db: &Snapshot,
    room_id: &RoomId,
    caller: UserNumber,
) -> Result<RoomNumber, ApiError> {
    let rooms = history.rooms();
    let refused = || ApiError::forbidden("you are not in this room");
    let room = rooms.number(db, room_id).await?.ok_or_else(refused)?;
    if rooms.is_joined(db, room, caller).await? {
        return Ok(room);
    }
    let state = match rooms.head(db, room).await {
        Ok(head) => head.state,
        Err(RoomError::UnknownRoom) => return Err(refused()),
        Err(error) => return Err(refuse(error)),
    };
    let visibility = history.history_visibility(db, room, state).await;
    match visibility.map_err(refuse)? {
        HistoryVisibility::WorldReadable => Ok(room),
        HistoryVisibility::Shared | HistoryVisibility::Invited | HistoryVisibility::Joined => {
            Err(refused())
        }
    }
}

/// User ids in order, and the last one if there are more behind it.
async fn page(
    rooms: &RoomStore,
    db: &Snapshot,
    users: &[UserNumber],
    query: &Query,
) -> Result<(Vec<String>, Option<String>), ApiError> {
    let ids = rooms.users().texts(db, users).await?;
    let mut ids: Vec<String> = ids.into_iter().flatten().map(|id| id.to_string()).collect();
    ids.sort_unstable();
    if let Some(from) = &query.from {
        let start = ids.partition_point(|id| id <= from);
        ids.drain(..start);
    }
    let limit = limit(query.limit);
    let next = (ids.len() > limit).then(|| ids[limit - 1].clone());
    ids.truncate(limit);
    Ok((ids, next))
}

fn refuse(error: RoomError) -> ApiError {
    match error {
        RoomError::Store(error) => error.into(),
        error => ApiError::internal(error),
    }
}
