//! `GET` and `POST /publicRooms`: client-server API, "Published room directory".

use edge::{ApiError, Call, Json, State};
use rooms_directory::{DirectoryPage, DirectoryRequest, DirectoryToken, PublicRoom, RoomDirectory};
use ruma::{
    OwnedServerName, ServerName, UInt,
    api::client::directory::{get_public_rooms, get_public_rooms_filtered},
    directory::{RoomNetwork, RoomTypeFilter},
};
use serde::Serialize;

use crate::rooms::refusal::refuse;

/// A page as JSON; ruma's type wants ids that rooms may get wrong.
#[derive(Serialize)]
pub(in crate::rooms) struct Page {
    chunk: Vec<Room>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<String>,
    total_room_count_estimate: usize,
}

#[derive(Serialize)]
struct Room {
    room_id: String,
    num_joined_members: u64,
    world_readable: bool,
    guest_can_join: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    canonical_alias: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    join_rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    room_type: Option<String>,
}

pub(super) async fn get(
    State(rooms): State<RoomDirectory>,
    call: Call<get_public_rooms::v3::Request>,
) -> Result<Json<Page>, ApiError> {
    let get_public_rooms::v3::Request {
        limit,
        since,
        server,
        ..
    } = call.request;
    check_server(rooms.rooms().server_name(), server)?;
    let request = DirectoryRequest {
        since: token(since)?,
        limit: limit.map(count),
        ..Default::default()
    };
    rooms.public_rooms(&request).await.map(page).map_err(refuse)
}

pub(super) async fn post(
    State(rooms): State<RoomDirectory>,
    call: Call<get_public_rooms_filtered::v3::Request>,
) -> Result<Json<Page>, ApiError> {
    let get_public_rooms_filtered::v3::Request {
        server,
        limit,
        since,
        filter,
        room_network,
        ..
    } = call.request;
    check_server(rooms.rooms().server_name(), server)?;
    if matches!(room_network, RoomNetwork::ThirdParty(_)) {
        // There are no bridges.
        return Ok(page(DirectoryPage::default()));
    }
    let types = filter
        .room_types
        .into_iter()
        .map(|room_type| match room_type {
            RoomTypeFilter::Default => None,
            other => Some(other.as_str().unwrap_or_default().to_owned()),
        });
    let types: std::collections::HashSet<_> = types.collect();
    let request = DirectoryRequest {
        since: token(since)?,
        limit: limit.map(count),
        search: filter.generic_search_term.filter(|term| !term.is_empty()),
        room_types: (!types.is_empty()).then_some(types),
    };
    rooms.public_rooms(&request).await.map(page).map_err(refuse)
}

fn check_server(own: &ServerName, asked: Option<OwnedServerName>) -> Result<(), ApiError> {
    match asked {
        Some(server) if server != own => Err(ApiError::forbidden(format_args!(
            "the directory is on {server}, and this server does not federate"
        ))),
        Some(_) | None => Ok(()),
    }
}

fn token(since: Option<String>) -> Result<Option<DirectoryToken>, ApiError> {
    let since = since.filter(|since| !since.is_empty());
    since
        .map(|since| since.parse())
        .transpose()
        .map_err(ApiError::invalid_param)
}

fn count(limit: UInt) -> usize {
    usize::try_from(u64::from(limit)).unwrap_or(usize::MAX)
}

fn page(page: DirectoryPage) -> Json<Page> {
    Json(Page {
        chunk: page.rooms.into_iter().map(room).collect(),
        next_batch: page.next.map(|token| token.to_string()),
        prev_batch: page.previous.map(|token| token.to_string()),
        total_room_count_estimate: page.total,
    })
}

fn room(room: PublicRoom) -> Room {
    Room {
        room_id: room.room_id.to_string(),
        num_joined_members: room.joined,
        world_readable: room.is_world_readable,
        guest_can_join: room.may_guests_join,
        name: room.name,
        topic: room.topic,
        avatar_url: room.avatar_url,
        canonical_alias: room.canonical_alias,
        join_rule: room.join_rule,
        room_type: room.room_type,
    }
}
