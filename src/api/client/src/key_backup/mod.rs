//! Key backups: client-server API, "Server-side key backups".

mod all_keys;
mod newest;
mod pages;
mod room_keys;
mod session_key;
mod version;

use ::devices::key_backup::{BackedUpSession, Backup, BackupError, SessionRow, Stored};
use edge::{ApiError, Routes, Rule};
use http::StatusCode;
use ruma::{api::client::backup::KeyBackupData, serde::Raw};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    // Clients send hundreds of sessions at once.
    let large = Rule::new().large_body();
    routes
        .add(newest::create)
        .add(newest::get)
        .add(version::get)
        .add(version::update)
        .add(version::delete)
        .add_with(all_keys::put, large)
        .add(all_keys::get)
        .add(all_keys::delete)
        .add_with(room_keys::put, large)
        .add(room_keys::get)
        .add(room_keys::delete)
        .add(session_key::put)
        .add(session_key::get)
        .add(session_key::delete)
}

/// What a client says of a backup.
#[derive(Deserialize)]
struct Algorithm {
    algorithm: String,
    auth_data: Box<RawValue>,
    version: Option<String>,
}

impl Algorithm {
    fn parse<T>(body: &Raw<T>) -> Result<Self, ApiError> {
        let parsed: Self = serde_json::from_str(body.json().get()).map_err(ApiError::bad_json)?;
        require_object("auth_data", &parsed.auth_data)?;
        Ok(parsed)
    }
}

/// What a client learns of a backup.
#[derive(Serialize)]
struct Information {
    algorithm: String,
    auth_data: Box<RawValue>,
    count: u64,
    etag: String,
    version: String,
}

impl Information {
    fn of(backup: Backup) -> Result<Self, ApiError> {
        Ok(Self {
            algorithm: backup.algorithm,
            auth_data: RawValue::from_string(backup.auth_data).map_err(ApiError::internal)?,
            count: backup.count,
            etag: backup.etag.to_string(),
            version: backup.version.to_string(),
        })
    }
}

/// The answer to every change of a backup's sessions.
#[derive(Serialize)]
struct Changed {
    count: u64,
    etag: String,
}

impl From<Stored> for Changed {
    fn from(stored: Stored) -> Self {
        Self {
            count: stored.count,
            etag: stored.etag.to_string(),
        }
    }
}

/// A backed-up session as clients write and read it.
#[derive(Deserialize, Serialize)]
struct Session {
    first_message_index: u64,
    forwarded_count: u64,
    is_verified: bool,
    session_data: Box<RawValue>,
}

/// The longest room id and session id.
const LONGEST: usize = 255;

fn backed_up(
    room: &str,
    session: &str,
    data: &Raw<KeyBackupData>,
) -> Result<BackedUpSession, ApiError> {
    let given: Session = serde_json::from_str(data.json().get()).map_err(ApiError::bad_json)?;
    require_object("session_data", &given.session_data)?;
    if session.len() > LONGEST {
        return Err(ApiError::invalid_param("This session id is too long"));
    }
    let row = SessionRow {
        first_message_index: given.first_message_index,
        forwarded_count: given.forwarded_count,
        is_verified: given.is_verified,
        session_data: given.session_data.get().to_owned(),
    };
    Ok(BackedUpSession {
        room: room.to_owned(),
        session: session.to_owned(),
        row,
    })
}

/// A session as JSON. What is stored is spliced: it may be large, and there may be many.
fn write_session(out: &mut Vec<u8>, row: &SessionRow) {
    let SessionRow {
        first_message_index,
        forwarded_count,
        is_verified,
        session_data,
    } = row;
    let text = format!(
        r#"{{"first_message_index":{first_message_index},"forwarded_count":{forwarded_count},"is_verified":{is_verified},"session_data":{session_data}}}"#
    );
    out.extend_from_slice(text.as_bytes());
}

fn require_object(field: &str, value: &RawValue) -> Result<(), ApiError> {
    if value.get().starts_with('{') {
        return Ok(());
    }
    Err(ApiError::bad_json(format_args!(
        "{field} must be an object"
    )))
}

/// Versions are numbers; what is none is no backup.
fn number(version: &str) -> Result<u64, ApiError> {
    version.parse().map_err(|_| refuse(BackupError::NotFound))
}

fn refuse(error: BackupError) -> ApiError {
    match error {
        BackupError::NotFound => ApiError::not_found("Unknown backup version"),
        BackupError::WrongVersion { current } => {
            let status = StatusCode::FORBIDDEN;
            ApiError::new(status, "M_WRONG_ROOM_KEYS_VERSION", "Wrong backup version")
                .with("current_version", current.to_string())
        }
        BackupError::OtherAlgorithm => ApiError::invalid_param("Algorithm does not match"),
        BackupError::TooLarge(_) => ApiError::too_large(error),
        BackupError::Store(error) => error.into(),
    }
}
