//! `PUT`, `GET`, `DELETE /room_keys/keys`: client-server API, "Server-side key backups".

use ::devices::{
    Devices,
    key_backup::{self, BackupError, Scope, Sessions},
};
use edge::{ApiError, Call, Json, RawJson, State};
use ruma::api::client::backup::{add_backup_keys, delete_backup_keys, get_backup_keys};
use users::Users;

use super::{Changed, backed_up, number, refuse, write_name, write_session};

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

pub(crate) async fn get(
    State(users): State<Users>,
    call: Call<get_backup_keys::v3::Request>,
) -> Result<RawJson, ApiError> {
    let (user, version) = (call.caller.number, number(&call.request.version)?);
    let db = users.snapshot().await?;
    if key_backup::version(&db, user, version).await?.is_none() {
        return Err(refuse(BackupError::NotFound));
    }
    let mut out = br#"{"rooms":{"#.to_vec();
    let mut sessions = Sessions::new(user, version, None);
    let mut open_room: Option<String> = None;
    loop {
        let page = sessions.next_page(&db).await?;
        if page.is_empty() {
            break;
        }
        for (room, session, row) in page {
            if open_room.as_ref() == Some(&room) {
                out.push(b',');
            } else {
                if open_room.is_some() {
                    out.extend_from_slice(b"}},");
                }
                write_name(&mut out, &room);
                out.extend_from_slice(br#"{"sessions":{"#);
                open_room = Some(room);
            }
            write_name(&mut out, &session);
            write_session(&mut out, &row);
        }
    }
    out.extend_from_slice(if open_room.is_some() { b"}}}}" } else { b"}}" });
    Ok(RawJson(out))
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
