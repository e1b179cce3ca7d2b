//! `GET`, `PUT`, `DELETE /room_keys/version/{version}`: client-server API, "Server-side key backups".

use ::devices::{
    Devices,
    key_backup::{self, BackupError, BackupUpdate},
};
use edge::{ApiError, Call, Empty, Json, State};
use ruma::api::client::backup::{delete_backup_version, get_backup_info, update_backup_version};
use users::Users;

use super::{Algorithm, Information, number, refuse};

pub(crate) async fn get(
    State(users): State<Users>,
    call: Call<get_backup_info::v3::Request>,
) -> Result<Json<Information>, ApiError> {
    let db = users.snapshot().await?;
    let version = number(&call.request.version)?;
    let backup = key_backup::version(&db, call.caller.number, version).await?;
    Ok(Json(Information::of(
        backup.ok_or(BackupError::NotFound).map_err(refuse)?,
    )?))
}

pub(crate) async fn update(
    State(devices): State<Devices>,
    call: Call<update_backup_version::v3::Request>,
) -> Result<Empty, ApiError> {
    let given = Algorithm::parse(&call.request.algorithm)?;
    if given
        .version
        .is_some_and(|version| version != call.request.version)
    {
        return Err(ApiError::invalid_param(
            "The versions in body and path do not match",
        ));
    }
    let version = number(&call.request.version)?;
    let update = BackupUpdate {
        algorithm: &given.algorithm,
        auth_data: given.auth_data.get(),
    };
    devices
        .update_backup(call.caller.number, version, &update)
        .await
        .map_err(refuse)?;
    Ok(Empty)
}

pub(crate) async fn delete(
    State(devices): State<Devices>,
    call: Call<delete_backup_version::v3::Request>,
) -> Result<Empty, ApiError> {
    let version = number(&call.request.version)?;
    devices
        .delete_backup(call.caller.number, version)
        .await
        .map_err(refuse)?;
    Ok(Empty)
}
