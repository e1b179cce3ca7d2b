//! `GET /unstable/chat.aqueduct.online/server`: who is online on the whole server, for its
//! administrators.

use std::cmp::Reverse;

use database::RoomNumber;
use edge::{ApiError, Call, Json, State};
use presence::Presence;
use rooms_store::{RoomError, RoomStore};
use ruma::{
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
use users::Users;

use super::{limit, require};

#[derive(Deserialize)]
pub(super) struct Request {
    limit: Option<usize>,
    /// The `next` of the page before.
    from: Option<String>,
}

metadata! {
    @for Request,
    method: GET,
    rate_limited: true,
    authentication: AccessToken,
    history: {
        unstable => "/_matrix/client/unstable/chat.aqueduct.online/server",
    }
}

impl IncomingRequest for Request {
    type EndpointError = Error;
    type OutgoingResponse = ruma::api::client::presence::set_presence::v3::Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        _: &[&str],
    ) -> Result<Self, DeserializationError> {
        Ok(serde_html_form::from_str(
            request.uri().query().unwrap_or_default(),
        )?)
    }
}

pub(super) async fn online(
    State(presence): State<Presence>,
    State(users): State<Users>,
    State(rooms): State<RoomStore>,
    call: Call<Request>,
) -> Result<Json<Value>, ApiError> {
    require(&presence)?;
    let db = rooms.snapshot().await?;
    if !users.is_admin(&db, call.caller.number).await? {
        return Err(ApiError::forbidden("you are not an administrator"));
    }
    let after = call.request.from.as_deref().map(place).transpose()?;
    let server = presence.server_online(&db).await?;
    let mut order: Vec<(Reverse<u32>, RoomNumber)> = server
        .rooms
        .into_iter()
        .map(|(room, online)| (Reverse(online), room))
        .filter(|place| after.is_none_or(|after| *place > after))
        .collect();
    order.sort_unstable();
    let limit = limit(call.request.limit);
    let next = (order.len() > limit).then(|| token(order[limit - 1]));
    order.truncate(limit);
    let mut page = Vec::with_capacity(order.len());
    for (Reverse(online), room) in order {
        match rooms.room_id(&db, room).await {
            Ok(room_id) => page.push(json!({ "room_id": room_id, "online": online })),
            // Deleted meanwhile.
            Err(RoomError::UnknownRoom) => {}
            Err(RoomError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(ApiError::internal(error)),
        }
    }
    let mut answer = json!({
        "users": server.users,
        "devices": server.devices,
        "connections": server.connections,
        "rooms": page,
    });
    if let Some(next) = next {
        answer["next"] = next.into();
    }
    Ok(Json(answer))
}

/// The place of a room in the list, as a client gets it.
fn token((Reverse(online), room): (Reverse<u32>, RoomNumber)) -> String {
    format!("{online:x}_{:x}", room.0)
}

fn place(token: &str) -> Result<(Reverse<u32>, RoomNumber), ApiError> {
    let parts = token.split_once('_').and_then(|(online, room)| {
        let online = u32::from_str_radix(online, 16).ok()?;
        let room = u64::from_str_radix(room, 16).ok()?;
        Some((Reverse(online), RoomNumber(room)))
    });
    parts.ok_or_else(|| ApiError::invalid_param("`from` must be the `next` of another page"))
}
