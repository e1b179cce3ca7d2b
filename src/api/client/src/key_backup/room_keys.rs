//! `PUT`, `GET`, `DELETE /room_keys/keys/{roomId}`: client-server API, "Server-side key backups".

use ::devices::{
    Devices,
    key_backup::{self, BackupError, Scope, Sessions},
};
use edge::{ApiError, Call, Json, RawJson, State};
use ruma::api::client::backup::{
    add_backup_keys_for_room, delete_backup_keys_for_room, get_backup_keys_for_room,
};
use users::Users;

use super::{Changed, backed_up, number, refuse, write_name, write_session};

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
    call: Call<get_backup_keys_for_room::v3::Request>,
) -> Result<RawJson, ApiError> {
    let (user, version) = (call.caller.number, number(&call.request.version)?);
    let db = users.snapshot().await?;
    if key_backup::version(&db, user, version).await?.is_none() {
        return Err(refuse(BackupError::NotFound));
    }
    let mut out = br#"{"sessions":{"#.to_vec();
    let start = out.len();
    let mut sessions = Sessions::new(user, version, Some(call.request.room_id.to_string()));
    loop {
        let page = sessions.next_page(&db).await?;
        if page.is_empty() {
            break;
        }
        for (_, session, row) in page {
            if out.len() > start {
                out.push(b',');
            }
            write_name(&mut out, &session);
            write_session(&mut out, &row);
        }
    }
    out.extend_from_slice(b"}}");
    Ok(RawJson(out))
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
