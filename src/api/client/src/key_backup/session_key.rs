//! `PUT`, `GET`, `DELETE /room_keys/keys/{roomId}/{sessionId}`: client-server API, "Server-side key backups".

use ::devices::{
    Devices,
    key_backup::{self, Scope},
};
use edge::{ApiError, Call, Json, RawJson, State};
use ruma::api::client::backup::{
    add_backup_keys_for_session, delete_backup_keys_for_session, get_backup_keys_for_session,
};
use users::Users;

use super::{Changed, backed_up, number, refuse, write_session};

pub(crate) async fn put(
    State(devices): State<Devices>,
    call: Call<add_backup_keys_for_session::v3::Request>,
) -> Result<Json<Changed>, ApiError> {
    let add_backup_keys_for_session::v3::Request {
        version,
        room_id,
        session_id,
        session_data,
        ..
    } = &call.request;
    let session = backed_up(room_id.as_str(), session_id, session_data)?;
    let stored = devices
        .back_up(call.caller.number, number(version)?, &[session])
        .await;
    Ok(Json(stored.map_err(refuse)?.into()))
}

pub(crate) async fn get(
    State(users): State<Users>,
    call: Call<get_backup_keys_for_session::v3::Request>,
) -> Result<RawJson, ApiError> {
    let get_backup_keys_for_session::v3::Request {
        version,
        room_id,
        session_id,
        ..
    } = &call.request;
    let (user, version) = (call.caller.number, number(version)?);
    let db = users.snapshot().await?;
    let row = key_backup::session(&db, user, version, room_id.as_str(), session_id).await?;
    let row = row.ok_or_else(|| ApiError::not_found("Key not found"))?;
    let mut out = Vec::new();
    write_session(&mut out, &row);
    Ok(RawJson(out))
}

pub(crate) async fn delete(
    State(devices): State<Devices>,
    call: Call<delete_backup_keys_for_session::v3::Request>,
) -> Result<Json<Changed>, ApiError> {
    let version = number(&call.request.version)?;
    let scope = Scope::Session(call.request.room_id.as_str(), &call.request.session_id);
    let stored = devices
        .delete_sessions(call.caller.number, version, scope)
        .await;
    Ok(Json(stored.map_err(refuse)?.into()))
}
