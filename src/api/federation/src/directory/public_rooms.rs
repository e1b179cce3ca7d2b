//! `GET` and `POST /_matrix/federation/v1/publicRooms`: server-server API, "Published Room Directory".

use std::collections::HashSet;

use edge::{ApiError, Call, Json, State};
use rooms_directory::{DirectoryPage, DirectoryRequest, DirectoryToken, PublicRoom, RoomDirectory};
use ruma::{
    UInt,
    api::federation::directory::{get_public_rooms, get_public_rooms_filtered},
    directory::RoomTypeFilter,
};
use serde_json::{Map, Value};

use crate::{pdus::count, refusal::refuse};

pub(super) async fn get(
    State(directory): State<RoomDirectory>,
    call: Call<get_public_rooms::v1::Request>,
) -> Result<Json<Value>, ApiError> {
    let get_public_rooms::v1::Request { limit, since, .. } = call.request;
    let request = request(limit, since)?;
    let page = directory.public_rooms(&request).await.map_err(refuse)?;
    Ok(Json(answer(page)))
}

pub(super) async fn post(
    State(directory): State<RoomDirectory>,
    call: Call<get_public_rooms_filtered::v1::Request>,
) -> Result<Json<Value>, ApiError> {
    let get_public_rooms_filtered::v1::Request {
        limit,
        since,
        filter,
        ..
    } = call.request;
    let types = filter
        .room_types
        .into_iter()
        .map(|room_type| match room_type {
            RoomTypeFilter::Default => None,
            other => Some(other.as_str().unwrap_or_default().to_owned()),
        });
    let types: HashSet<_> = types.collect();
    let request = DirectoryRequest {
        search: filter.generic_search_term.filter(|term| !term.is_empty()),
        room_types: (!types.is_empty()).then_some(types),
        ..request(limit, since)?
    };
    let page = directory.public_rooms(&request).await.map_err(refuse)?;
    Ok(Json(answer(page)))
}

fn request(limit: Option<UInt>, since: Option<String>) -> Result<DirectoryRequest, ApiError> {
    let since = since.filter(|since| !since.is_empty());
    let since: Option<Result<DirectoryToken, _>> = since.map(|since| since.parse());
    Ok(DirectoryRequest {
        since: since.transpose().map_err(ApiError::invalid_param)?,
        limit: limit.map(count),
        ..DirectoryRequest::default()
    })
}

fn answer(page: DirectoryPage) -> Value {
    let mut answer = Map::new();
    let chunk: Vec<Value> = page.rooms.into_iter().map(room).collect();
    answer.insert("chunk".to_owned(), chunk.into());
    let texts = [
        ("next_batch", page.next.map(|token| token.to_string())),
        ("prev_batch", page.previous.map(|token| token.to_string())),
    ];
    answer.extend(present(texts));
    answer.insert("total_room_count_estimate".to_owned(), page.total.into());
    answer.into()
}

fn room(room: PublicRoom) -> Value {
    let mut chunk = Map::new();
    chunk.insert("room_id".to_owned(), room.room_id.as_str().into());
    chunk.insert("num_joined_members".to_owned(), room.joined.into());
    chunk.insert("world_readable".to_owned(), room.is_world_readable.into());
    chunk.insert("guest_can_join".to_owned(), room.may_guests_join.into());
    chunk.extend(present([
        ("name", room.name),
        ("topic", room.topic),
        ("avatar_url", room.avatar_url),
        ("canonical_alias", room.canonical_alias),
        ("join_rule", room.join_rule),
        ("room_type", room.room_type),
    ]));
    chunk.into()
}

/// The members that have a value.
fn present<const N: usize>(
    texts: [(&str, Option<String>); N],
) -> impl Iterator<Item = (String, Value)> {
    let present = texts
        .into_iter()
        .filter_map(|(name, text)| Some((name, text?)));
    present.map(|(name, text)| (name.to_owned(), text.into()))
}
