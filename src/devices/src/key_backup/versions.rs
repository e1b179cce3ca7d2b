//! Creating, reading, updating and deleting backups.

use database::{Read, StoreError, Txn, UserNumber};

use super::tables::{BACKUP_SESSIONS, BACKUP_VERSIONS, BACKUPS, BackupRow};
use crate::handle::Devices;

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    pub version: u64,
    pub algorithm: String,
    /// A JSON object.
    pub auth_data: String,
    pub count: u64,
    pub etag: u64,
}

/// New `auth_data`, with the fields that must not change.
#[derive(Clone, Debug)]
pub struct BackupUpdate<'a> {
    pub algorithm: &'a str,
    pub auth_data: &'a str,
}

/// Why a backup was not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("no such backup")]
    NotFound,
    /// Only the newest backup can be changed.
    #[error("this is not the current backup version")]
    WrongVersion { current: u64 },
    #[error("the algorithm of a backup cannot change")]
    OtherAlgorithm,
    #[error("too large or too many: {0}")]
    TooLarge(&'static str),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Backup {
    fn new(version: u64, row: BackupRow) -> Self {
        let BackupRow {
            algorithm,
            auth_data,
            count,
            etag,
        } = row;
        Self {
            version,
            algorithm,
            auth_data,
            count,
            etag,
        }
    }
}

/// The newest backup of a user.
pub async fn current(db: &impl Read, user: UserNumber) -> Result<Option<Backup>, StoreError> {
    let newest = db.page(BACKUPS.under(user).reversed(), 1).await?.pop();
    Ok(newest.map(|((_, version), row)| Backup::new(version, row)))
}

/// A backup of a user by its version.
pub async fn version(
    db: &impl Read,
    user: UserNumber,
    version: u64,
) -> Result<Option<Backup>, StoreError> {
    let row = db.get(BACKUPS.at((user, version))).await?;
    Ok(row.map(|row| Backup::new(version, row)))
}

impl Devices {
    /// Creates a new current backup and returns its version.
    pub async fn create_backup(
        &self,
        user: UserNumber,
        algorithm: &str,
        auth_data: &str,
    ) -> Result<u64, BackupError> {
        let limits = &self.0.limits;
        if algorithm.len() + auth_data.len() > limits.key_bytes {
            return Err(BackupError::TooLarge("auth_data"));
        }
        let row = &BackupRow {
            algorithm: algorithm.to_owned(),
            auth_data: auth_data.to_owned(),
            count: 0,
            etag: 0,
        };
        let body = move |txn: Txn| async move {
            let kept = txn.page(BACKUPS.under(user), usize::MAX).await?.len() as u64;
            if kept >= limits.backups {
                return Err(BackupError::TooLarge("backups of one user"));
            }
            let version = txn.get(BACKUP_VERSIONS.at(user)).await?.unwrap_or_default() + 1;
            txn.put(BACKUP_VERSIONS.at(user), &version);
            txn.put(BACKUPS.at((user, version)), row);
            Ok(version)
        };
        Ok(self.0.store.transact(body).await?.0)
    }

    pub async fn update_backup(
        &self,
        user: UserNumber,
        version: u64,
        update: &BackupUpdate<'_>,
    ) -> Result<(), BackupError> {
        if update.auth_data.len() > self.0.limits.key_bytes {
            return Err(BackupError::TooLarge("auth_data"));
        }
        let body = move |txn: Txn| async move {
            let row = BACKUPS.at((user, version));
            let mut backup = txn.get(row.clone()).await?.ok_or(BackupError::NotFound)?;
            if backup.algorithm != update.algorithm {
                return Err(BackupError::OtherAlgorithm);
            }
            update.auth_data.clone_into(&mut backup.auth_data);
            txn.put(row, &backup);
            Ok(())
        };
        self.0.store.transact(body).await.map(|((), _)| ())
    }

    /// Deletes a backup with all its sessions. Deleting it again succeeds; a version that never
    /// existed is not found.
    pub async fn delete_backup(&self, user: UserNumber, version: u64) -> Result<(), BackupError> {
        let body = move |txn: Txn| async move {
            if txn.exists(BACKUPS.at((user, version))).await? {
                txn.delete(BACKUPS.at((user, version)));
                txn.clear(BACKUP_SESSIONS.under((user, version)));
                return Ok(());
            }
            let last = txn.get(BACKUP_VERSIONS.at(user)).await?.unwrap_or_default();
            let was_deleted = (1..=last).contains(&version);
            if was_deleted {
                Ok(())
            } else {
                Err(BackupError::NotFound)
            }
        };
        self.0.store.transact(body).await.map(|((), _)| ())
    }
}
