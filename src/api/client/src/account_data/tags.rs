//! `GET /user/{userId}/rooms/{roomId}/tags`, `PUT` and `DELETE ../tags/{tag}`: client-server API, "Room Tagging".

use edge::{ApiError, Call, Json, State};
use rooms_store::RoomStore;
use ruma::api::client::tag::{create_tag, delete_tag, get_tags};
use serde_json::{Value, json};
use users::Users;

use crate::account_data::{refuse, require_own, require_room};

const TAG_BYTES: usize = 255;

pub(crate) async fn list_tags(
    State(users): State<Users>,
    State(rooms): State<RoomStore>,
    call: Call<get_tags::v3::Request>,
) -> Result<Json<Value>, ApiError> {
    require_own(&call.caller, &call.request.user_id)?;
    let db = users.snapshot().await?;
    let room = require_room(&rooms, &db, call.caller.number, &call.request.room_id).await?;
    let tags = users.tags(&db, call.caller.number, room).await?;
    Ok(Json(json!({ "tags": tags })))
}

pub(crate) async fn set_tag(
    State(users): State<Users>,
    State(rooms): State<RoomStore>,
    call: Call<create_tag::v3::Request>,
) -> Result<create_tag::v3::Response, ApiError> {
    let request = call.request;
    require_own(&call.caller, &request.user_id)?;
    if request.tag.len() > TAG_BYTES {
        return Err(ApiError::invalid_param("A tag has at most 255 bytes"));
    }
    let info = serde_json::to_value(&request.tag_info).map_err(ApiError::bad_json)?;
    let room = require_room(
        &rooms,
        &users.snapshot().await?,
        call.caller.number,
        &request.room_id,
    )
    .await?;
    users
        .set_tag(call.caller.number, room, &request.tag, Some(info))
        .await
        .map_err(refuse)?;
    Ok(create_tag::v3::Response::new())
}

pub(crate) async fn delete_tag(
    State(users): State<Users>,
    State(rooms): State<RoomStore>,
    call: Call<delete_tag::v3::Request>,
) -> Result<delete_tag::v3::Response, ApiError> {
    let request = call.request;
    require_own(&call.caller, &request.user_id)?;
    let room = require_room(
        &rooms,
        &users.snapshot().await?,
        call.caller.number,
        &request.room_id,
    )
    .await?;
    users
        .set_tag(call.caller.number, room, &request.tag, None)
        .await
        .map_err(refuse)?;
    Ok(delete_tag::v3::Response::new())
}
