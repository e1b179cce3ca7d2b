//! `POST /join/{roomIdOrAlias}` and `POST /rooms/{roomId}/join`: client-server API, "Joining rooms".
//!
//! Request types of our own: keys of the body that the spec does not name go into the member event, as in other servers.

use edge::{ApiError, Call, State};
use http::{Request as HttpRequest, Uri};
use rooms_remote::RemoteRooms;
use rooms_store::RoomError;
use rooms_writer::{Change, MembershipRequest};
use ruma::{
    OwnedRoomId, OwnedRoomOrAliasId, OwnedServerName, OwnedUserId, ServerName,
    api::{
        IncomingRequest,
        auth_scheme::AccessToken,
        client::membership::{join_room_by_id, join_room_by_id_or_alias},
        error::{DeserializationError, Error},
    },
    metadata,
};
use serde_json::{Map, Value};

use url::form_urlencoded;

use super::resolve;
use crate::rooms::refusal::refuse;

/// Servers that a client may name.
const MOST_SERVERS: usize = 20;

/// Joins by id or alias.
pub(in crate::rooms) struct JoinByName {
    name: OwnedRoomOrAliasId,
    /// Servers that may know the room.
    via: Vec<OwnedServerName>,
    body: Map<String, Value>,
}

/// Joins by id.
pub(in crate::rooms) struct JoinById {
    room_id: OwnedRoomId,
    body: Map<String, Value>,
}

metadata! {
    @for JoinByName,
    method: POST,
    rate_limited: true,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/join/{room_id_or_alias}",
        1.1 => "/_matrix/client/v3/join/{room_id_or_alias}",
    }
}

metadata! {
    @for JoinById,
    method: POST,
    rate_limited: true,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/rooms/{room_id}/join",
        1.1 => "/_matrix/client/v3/rooms/{room_id}/join",
    }
}

pub(super) async fn join(
    State(remote): State<RemoteRooms>,
    call: Call<JoinByName>,
) -> Result<join_room_by_id_or_alias::v3::Response, ApiError> {
    let JoinByName {
        name,
        mut via,
        body,
    } = call.request;
    let resolved = resolve(&remote, name).await?;
    via.extend(resolved.servers);
    let room_id = resolved.room_id;
    enter(&remote, &room_id, call.caller.user_id.clone(), body, &via).await?;
    Ok(join_room_by_id_or_alias::v3::Response::new(room_id))
}

pub(super) async fn join_by_id(
    State(remote): State<RemoteRooms>,
    call: Call<JoinById>,
) -> Result<join_room_by_id::v3::Response, ApiError> {
    let JoinById { room_id, body } = call.request;
    enter(&remote, &room_id, call.caller.user_id.clone(), body, &[]).await?;
    Ok(join_room_by_id::v3::Response::new(room_id))
}

async fn enter(
    remote: &RemoteRooms,
    room_id: &OwnedRoomId,
    user: OwnedUserId,
    mut body: Map<String, Value>,
    via: &[OwnedServerName],
) -> Result<(), ApiError> {
    if body
        .remove("third_party_signed")
        .is_some_and(|signed| !signed.is_null())
    {
        return Err(ApiError::forbidden(
            "this server knows no invites to third-party identifiers",
        ));
    }
    let reason = match body.remove("reason") {
        None | Some(Value::Null) => None,
        Some(Value::String(reason)) => Some(reason),
        Some(_) => return Err(ApiError::bad_json("`reason` must be a string")),
    };
    let mut request = MembershipRequest::own(user, Change::Join).because(reason);
    request.extra = body;
    remote
        .join(room_id, request, via)
        .await
        .map_err(|error| match error {
            RoomError::UnknownRoom => ApiError::not_found("this server does not know that room"),
            error => refuse(error),
        })
}

/// The query parameters `via` and their old name, `server_name`. What is no server name is ignored.
pub(super) fn servers(uri: &Uri) -> Vec<OwnedServerName> {
    let query = uri.query().unwrap_or_default().as_bytes();
    let servers = form_urlencoded::parse(query)
        .filter(|(name, _)| name == "via" || name == "server_name")
        .filter_map(|(_, server)| ServerName::parse(&*server).ok());
    servers.take(MOST_SERVERS).collect()
}

/// The body, which may be missing.
pub(super) fn body(
    request: &HttpRequest<&[u8]>,
) -> Result<Map<String, Value>, DeserializationError> {
    match request.body().trim_ascii() {
        b"" => Ok(Map::new()),
        text => Ok(serde_json::from_slice(text)?),
    }
}

impl IncomingRequest for JoinByName {
    type EndpointError = Error;
    type OutgoingResponse = join_room_by_id_or_alias::v3::Response;

    fn try_from_http_request_inner(
        request: HttpRequest<&[u8]>,
        path: &[&str],
    ) -> Result<Self, DeserializationError> {
        let name = path.first().copied().unwrap_or_default().try_into()?;
        Ok(Self {
            name,
            via: servers(request.uri()),
            body: body(&request)?,
        })
    }
}

impl IncomingRequest for JoinById {
    type EndpointError = Error;
    type OutgoingResponse = join_room_by_id::v3::Response;

    fn try_from_http_request_inner(
        request: HttpRequest<&[u8]>,
        path: &[&str],
    ) -> Result<Self, DeserializationError> {
        let room_id = path.first().copied().unwrap_or_default().try_into()?;
        Ok(Self {
            room_id,
            body: body(&request)?,
        })
    }
}
