//! All tables of key backups, with their writers and readers.

use database::{Record, Table, TableInfo, Txn, UserNumber};
use serde::{Deserialize, Serialize};

/// The last backup version of a user: version numbers are never reused.
pub static BACKUP_VERSIONS: Table<UserNumber, u64> = Table::new("backup_versions");
/// The backups of a user by version. Written by the version endpoints, and by every stored session
/// (count, etag).
pub static BACKUPS: Table<(UserNumber, u64), BackupRow> = Table::new("backups");
/// The sessions of a backup by room and session id.
pub static BACKUP_SESSIONS: Table<(UserNumber, u64, String, String), SessionRow> =
    Table::new("backup_sessions");

/// A backup as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupRow {
    pub algorithm: String,
    /// A JSON object.
    pub auth_data: String,
    /// Sessions in it.
    pub count: u64,
    /// Incremented by every change of its sessions.
    pub etag: u64,
}

/// A backed-up session as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    pub first_message_index: u64,
    pub forwarded_count: u64,
    pub is_verified: bool,
    /// A JSON object.
    pub session_data: String,
}

impl Record for BackupRow {}
impl Record for SessionRow {}

/// Deletes all backups of a deactivated user.
pub(crate) fn forget_user(txn: &Txn, user: UserNumber) {
    txn.clear(BACKUPS.under(user));
    txn.clear(BACKUP_SESSIONS.under(user));
}

pub(crate) fn tables() -> Vec<TableInfo> {
    vec![
        BACKUP_VERSIONS.info(),
        BACKUPS.info(),
        BACKUP_SESSIONS.info(),
    ]
}
