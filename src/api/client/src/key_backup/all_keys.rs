//! `PUT`, `GET`, `DELETE /room_keys/keys`: client-server API, "Server-side key backups".

use ::devices::{Devices, key_backup::Scope};
use edge::{ApiError, Call, Json, JsonPages, State};
use ruma::api::client::backup::{add_backup_keys, delete_backup_keys, get_backup_keys};
use users::Users;

use super::{Changed, backed_up, number, pages::SessionPages, refuse};

pub(crate) async fn put(
    State(devices): State<Devices>,
    call: Call<add_backup_keys::v3::Request>,
) -> Result<Json<Changed>, ApiError> {
    let version = number(&call.request.version)?;
    let mut sessions = Vec::new();
    for (room, backup) in &call.request.rooms {
        for (session, data) in &backup.sessions {
            sessions.push(backed_up(room.as_str(), session, data)?);
        }
    }
    let stored = devices
        .back_up(call.caller.number, version, &sessions)
        .await;
    Ok(Json(stored.map_err(refuse)?.into()))
}

/// Streamed: a backup has no bound that would fit into memory for each of those who restore theirs.
pub(crate) async fn get(
    State(users): State<Users>,
    State(devices): State<Devices>,
    call: Call<get_backup_keys::v3::Request>,
) -> Result<JsonPages, ApiError> {
    let (user, version) = (call.caller.number, number(&call.request.version)?);
    let pages = SessionPages::open(&users, &devices, user, version, None).await?;
    JsonPages::begin(pages).await
}

pub(crate) async fn delete(
    State(devices): State<Devices>,
    call: Call<delete_backup_keys::v3::Request>,
) -> Result<Json<Changed>, ApiError> {
    let version = number(&call.request.version)?;
    let stored = devices
        .delete_sessions(call.caller.number, version, Scope::All)
        .await;
    Ok(Json(stored.map_err(refuse)?.into()))
}
