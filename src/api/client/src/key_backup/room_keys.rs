//! `PUT`, `GET`, `DELETE /room_keys/keys/{roomId}`: client-server API, "Server-side key backups".

use ::devices::{Devices, key_backup::Scope};
use edge::{ApiError, Call, Json, JsonPages, State};
use ruma::api::client::backup::{
    add_backup_keys_for_room, delete_backup_keys_for_room, get_backup_keys_for_room,
};
use users::Users;

use super::{Changed, backed_up, number, pages::SessionPages, refuse};

pub(crate) async fn put(
    State(devices): State<Devices>,
    call: Call<add_backup_keys_for_room::v3::Request>,
) -> Result<Json<Changed>, ApiError> {
    let version = number(&call.request.version)?;
    let room = call.request.room_id.as_str();
    let sessions = call.request.sessions.iter();
    let sessions = sessions
        .map(|(session, data)| backed_up(room, session, data))
        .collect::<Result<Vec<_>, _>>()?;
    let stored = devices
        .back_up(call.caller.number, version, &sessions)
        .await;
    Ok(Json(stored.map_err(refuse)?.into()))
}

pub(crate) async fn get(
    State(users): State<Users>,
    State(devices): State<Devices>,
    call: Call<get_backup_keys_for_room::v3::Request>,
) -> Result<JsonPages, ApiError> {
    let (user, version) = (call.caller.number, number(&call.request.version)?);
    let room = Some(call.request.room_id.to_string());
    let pages = SessionPages::open(&users, &devices, user, version, room).await?;
    JsonPages::begin(pages).await
}

pub(crate) async fn delete(
    State(devices): State<Devices>,
    call: Call<delete_backup_keys_for_room::v3::Request>,
) -> Result<Json<Changed>, ApiError> {
    let version = number(&call.request.version)?;
    let scope = Scope::Room(call.request.room_id.as_str());
    let stored = devices
        .delete_sessions(call.caller.number, version, scope)
        .await;
    Ok(Json(stored.map_err(refuse)?.into()))
}
