//! Storing and deleting sessions of a backup.

use std::cmp::Reverse;

use database::{Read, StoreError, Txn, UserNumber};

use super::{
    read::{Scope, page_after},
    tables::{BACKUP_SESSIONS, BACKUPS, BackupRow, SessionRow},
    versions::{BackupError, current},
};
use crate::handle::Devices;

/// A session to be backed up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUpSession {
    pub room: String,
    pub session: String,
    pub row: SessionRow,
}

/// The state of a backup after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    pub count: u64,
    pub etag: u64,
}

/// Sessions deleted in one commit.
const CHUNK: usize = 512;

impl Devices {
    /// Stores those sessions that are new or better than the stored ones, in one commit. Only the
    /// newest backup can be written.
    pub async fn back_up(
        &self,
        user: UserNumber,
        version: u64,
        sessions: &[BackedUpSession],
    ) -> Result<Stored, BackupError> {
        let limits = &self.0.limits;
        if sessions
            .iter()
            .any(|session| session.row.session_data.len() > limits.session_bytes)
        {
            return Err(BackupError::TooLarge("session_data"));
        }
        let body = move |txn: Txn| async move {
            let mut backup = require_current(&txn, user, version).await?;
            let rows = sessions
                .iter()
                .map(|key| BACKUP_SESSIONS.at((user, version, &key.room, &key.session)));
            let old = txn.get_many(rows.collect()).await?;
            let mut is_changed = false;
            for (new, old) in sessions.iter().zip(old) {
                match old {
                    Some(old) if !replaces(&new.row, &old) => continue,
                    Some(_) => {}
                    None => backup.count += 1,
                }
                let row = BACKUP_SESSIONS.at((user, version, &new.room, &new.session));
                txn.put(row, &new.row);
                is_changed = true;
            }
            if backup.count > limits.backup_sessions {
                return Err(BackupError::TooLarge("sessions of one backup"));
            }
            if is_changed {
                backup.etag += 1;
                txn.put(BACKUPS.at((user, version)), &backup);
            }
            Ok(Stored {
                count: backup.count,
                etag: backup.etag,
            })
        };
        Ok(self.0.store.transact(body).await?.0)
    }

    /// Deletes sessions of any backup.
    pub async fn delete_sessions(
        &self,
        user: UserNumber,
        version: u64,
        scope: Scope<'_>,
    ) -> Result<Stored, BackupError> {
        loop {
            let body = move |txn: Txn| async move {
                let row = BACKUPS.at((user, version));
                let mut backup = txn.get(row.clone()).await?.ok_or(BackupError::NotFound)?;
                let (deleted, is_last) = delete(&txn, user, version, scope, &backup).await?;
                if deleted > 0 {
                    backup.count -= deleted.min(backup.count);
                    backup.etag += 1;
                    txn.put(row, &backup);
                }
                let stored = Stored {
                    count: backup.count,
                    etag: backup.etag,
                };
                Ok::<_, BackupError>((stored, is_last))
            };
            let ((stored, is_last), _) = self.0.store.transact(body).await?;
            if is_last {
                return Ok(stored);
            }
        }
    }
}

/// Returns the number of deleted sessions, and whether all are deleted. A whole backup is one range
/// deletion; a room is deleted in chunks, because its sessions must be counted.
async fn delete(
    txn: &Txn,
    user: UserNumber,
    version: u64,
    scope: Scope<'_>,
    backup: &BackupRow,
) -> Result<(u64, bool), StoreError> {
    match scope {
        Scope::All => {
            txn.clear(BACKUP_SESSIONS.under((user, version)));
            Ok((backup.count, true))
        }
        Scope::Room(_) => {
            let rows = txn
                .page(page_after(user, version, scope, None), CHUNK)
                .await?;
            for ((_, _, room, session), _) in &rows {
                txn.delete(BACKUP_SESSIONS.at((user, version, room, session)));
            }
            Ok((rows.len() as u64, rows.len() < CHUNK))
        }
        Scope::Session(room, session) => {
            let row = BACKUP_SESSIONS.at((user, version, room, session));
            if !txn.exists(row.clone()).await? {
                return Ok((0, true));
            }
            txn.delete(row);
            Ok((1, true))
        }
    }
}

async fn require_current(
    txn: &Txn,
    user: UserNumber,
    version: u64,
) -> Result<BackupRow, BackupError> {
    let Some(newest) = current(txn, user).await? else {
        return Err(BackupError::NotFound);
    };
    let Some(row) = txn.get(BACKUPS.at((user, version))).await? else {
        return Err(BackupError::NotFound);
    };
    if newest.version != version {
        return Err(BackupError::WrongVersion {
            current: newest.version,
        });
    }
    Ok(row)
}

/// Verified before unverified, then the lower first index, then the lower forwarded count; the
/// stored one wins if they are equal.
fn replaces(new: &SessionRow, old: &SessionRow) -> bool {
    let rank = |row: &SessionRow| {
        (
            row.is_verified,
            Reverse(row.first_message_index),
            Reverse(row.forwarded_count),
        )
    };
    rank(new) > rank(old)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(is_verified: bool, first_message_index: u64, forwarded_count: u64) -> SessionRow {
        let session_data = "{}".to_owned();
        SessionRow {
            first_message_index,
            forwarded_count,
            is_verified,
            session_data,
        }
    }

    #[test]
    fn a_better_session_replaces_a_worse_one_and_never_the_other_way_round() {
        let from_best_to_worst = [
            row(true, 3, 9),
            row(true, 10, 5),
            row(true, 10, 6),
            row(false, 2, 0),
            row(false, 10, 5),
            row(false, 10, 6),
            row(false, 11, 0),
        ];
        for (at, better) in from_best_to_worst.iter().enumerate() {
            assert!(!replaces(better, better));
            for worse in &from_best_to_worst[at + 1..] {
                assert!(replaces(better, worse));
                assert!(!replaces(worse, better));
            }
        }
    }
}
