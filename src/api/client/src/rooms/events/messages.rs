//! `GET /rooms/{roomId}/messages`: client-server API, "Getting events for a room".
//!
//! A request type of our own: who may not read the room gets 403 before a missing `dir` is looked at, as in other servers.

use edge::{ApiError, Call, RawJson, State};
use http::Request as HttpRequest;
use rooms_history::{Direction, History, MessagesRequest};
use rooms_remote::RemoteRooms;
use ruma::{
    OwnedRoomId,
    api::{
        IncomingRequest,
        auth_scheme::AccessToken,
        client::message::get_message_events::v3::Response,
        error::{DeserializationError, Error},
    },
    exports::serde_html_form,
    metadata,
};
use serde::Deserialize;

use super::{filter, reader, token};
use crate::rooms::refusal::refuse;

pub(in crate::rooms) struct Messages {
    room_id: OwnedRoomId,
    query: Query,
}

#[derive(Deserialize)]
struct Query {
    dir: Option<String>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<String>,
    filter: Option<String>,
}

metadata! {
    @for Messages,
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/rooms/{room_id}/messages",
        1.1 => "/_matrix/client/v3/rooms/{room_id}/messages",
    }
}

/// Events of a page where the client asks for no number.
const USUAL: usize = 10;

pub(super) async fn messages(
    State(rooms): State<History>,
    State(remote): State<RemoteRooms>,
    call: Call<Messages>,
) -> Result<RawJson, ApiError> {
    let Messages { room_id, query } = &call.request;
    let wanted = match wanted(query) {
        Ok(wanted) => wanted,
        Err(error) => {
            let db = rooms.rooms().snapshot().await?;
            rooms
                .require_standing(&db, room_id, call.caller.number)
                .await
                .map_err(refuse)?;
            return Err(error);
        }
    };
    let db = rooms.rooms().snapshot().await?;
    let standing = rooms.require_standing(&db, room_id, call.caller.number);
    standing.await.map_err(refuse)?;
    drop(db);
    remote.backfill(room_id, &wanted).await;
    let page = rooms
        .messages(room_id, &reader(&call.caller), &wanted)
        .await
        .map_err(refuse)?;
    let mut out = Vec::with_capacity(page.chunk.len() + page.state.len() + 256);
    // The same text as `from`, which is a token and so needs no escapes.
    let start = match query.from.as_deref() {
        Some(from) if !from.is_empty() => from.to_owned(),
        _ => page.start.to_string(),
    };
    out.extend_from_slice(format!(r#"{{"start":"{start}""#).as_bytes());
    if let Some(end) = page.end {
        out.extend_from_slice(format!(r#","end":"{end}""#).as_bytes());
    }
    out.extend_from_slice(br#","chunk":["#);
    out.extend_from_slice(&page.chunk);
    if !page.state.is_empty() {
        out.extend_from_slice(br#"],"state":["#);
        out.extend_from_slice(&page.state);
    }
    out.extend_from_slice(b"]}");
    Ok(RawJson(out))
}

fn wanted(query: &Query) -> Result<MessagesRequest, ApiError> {
    let direction = match query.dir.as_deref() {
        Some("b") => Direction::Backward,
        Some("f") => Direction::Forward,
        Some(_) => return Err(ApiError::invalid_param("`dir` must be `b` or `f`")),
        None => return Err(ApiError::missing_param("`dir` is missing")),
    };
    let limit = match query.limit.as_deref() {
        Some(limit) => limit.parse().map_err(ApiError::invalid_param)?,
        None => USUAL,
    };
    Ok(MessagesRequest {
        from: token(query.from.as_deref())?,
        to: token(query.to.as_deref())?,
        direction,
        limit,
        filter: filter(query.filter.as_deref())?,
    })
}

impl IncomingRequest for Messages {
    type EndpointError = Error;
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: HttpRequest<&[u8]>,
        path: &[&str],
    ) -> Result<Self, DeserializationError> {
        let room_id = path.first().copied().unwrap_or_default().try_into()?;
        let query = serde_html_form::from_str(request.uri().query().unwrap_or_default())?;
        Ok(Self { room_id, query })
    }
}
