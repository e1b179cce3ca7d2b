//! Server-side key backups: client-server API, "Server-side key backups". What is backed up is
//! opaque.

mod read;
mod tables;
mod versions;
mod write;

pub(crate) use self::tables::{forget_user, tables};
pub use self::{
    read::{Scope, Sessions, session},
    tables::{BACKUP_SESSIONS, BACKUP_VERSIONS, BACKUPS, BackupRow, SessionRow},
    versions::{Backup, BackupError, BackupUpdate, current, version},
    write::{BackedUpSession, Stored},
};
