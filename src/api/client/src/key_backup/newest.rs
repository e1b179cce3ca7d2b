//! `POST`, `GET /room_keys/version`: client-server API, "Server-side key backups".

use ::devices::{Devices, key_backup};
use edge::{ApiError, Call, Json, State};
use ruma::api::client::backup::{create_backup_version, get_latest_backup_info};
use users::Users;

use super::{Algorithm, Information, refuse};

pub(crate) async fn create(
    State(devices): State<Devices>,
    call: Call<create_backup_version::v3::Request>,
) -> Result<create_backup_version::v3::Response, ApiError> {
    let given = Algorithm::parse(&call.request.algorithm)?;
    let version = devices
        .create_backup(call.caller.number, &given.algorithm, given.auth_data.get())
        .await
        .map_err(refuse)?;
    Ok(create_backup_version::v3::Response::new(
        version.to_string(),
    ))
}

pub(crate) async fn get(
    State(users): State<Users>,
    call: Call<get_latest_backup_info::v3::Request>,
) -> Result<Json<Information>, ApiError> {
    let db = users.snapshot().await?;
    let backup = key_backup::current(&db, call.caller.number).await?;
    let backup = backup.ok_or_else(|| ApiError::not_found("No current backup version"))?;
    Ok(Json(Information::of(backup)?))
}
