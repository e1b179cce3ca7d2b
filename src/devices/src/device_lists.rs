//! Changes of devices and cross-signing keys: client-server API, "Tracking the device list for a
//! user".
//!
//! Stores the last change of each user, by user and in the order of changes, so that a reader with
//! an old token finds every changed user once. Crates above know which users share a room.

use std::{collections::HashSet, hash::BuildHasher};

use database::{
    Placed, Position, Read, Stamp, StoreError, Table, TableInfo, Txn, UserNumber,
    server_log::{self, Concern},
};

/// When a user's identity keys, cross-signing keys or public signatures last changed.
pub static DEVICE_LISTS: Table<UserNumber, Placed<()>> = Table::new("device_lists");
/// The last changes of all users, in order.
pub static DEVICE_LIST_LOG: Table<Position, UserNumber> = Table::new("device_list_log");
/// When a user (first) last signed the master key of another (second).
pub static SIGNED_USERS: Table<(UserNumber, UserNumber), Placed<()>> = Table::new("signed_users");
/// The users whose master key a user has signed, ordered by the last signature.
pub static SIGNED_USERS_LOG: Table<(UserNumber, Position), UserNumber> =
    Table::new("signed_users_log");

/// Entries of the log that are read beyond the number of requested users, before the users are read
/// one by one.
const AHEAD: usize = 256;
const PAGE: usize = 512;

/// Records a change of `user` and announces it to everyone it may concern.
pub(crate) async fn change(txn: &Txn, user: UserNumber) -> Result<(), StoreError> {
    let row = DEVICE_LISTS.at(user);
    if txn.has_own(&row) {
        return Ok(()); // one change a commit
    }
    if let Some(last) = txn.get(row.clone()).await? {
        txn.delete(DEVICE_LIST_LOG.at(last.position));
    }
    let slot = txn.slot();
    txn.put_placed(row, &(), slot);
    txn.append(DEVICE_LIST_LOG.end(()), slot, &user);
    server_log::tell(txn, slot, Concern::DeviceList(user));
    Ok(())
}

/// Records that `signer` has signed the keys of `target`, which only the signer can see.
pub(crate) async fn sign(
    txn: &Txn,
    signer: UserNumber,
    target: UserNumber,
) -> Result<(), StoreError> {
    let row = SIGNED_USERS.at((signer, target));
    if txn.has_own(&row) {
        return Ok(());
    }
    if let Some(last) = txn.get(row.clone()).await? {
        txn.delete(SIGNED_USERS_LOG.at((signer, last.position)));
    }
    let slot = txn.slot();
    txn.put_placed(row, &(), slot);
    txn.append(SIGNED_USERS_LOG.end(signer), slot, &target);
    server_log::tell(txn, slot, Concern::User(signer));
    Ok(())
}

/// Deletes the signatures of a deactivated user.
pub(crate) fn forget_signer(txn: &Txn, signer: UserNumber) {
    txn.clear(SIGNED_USERS.under(signer));
    txn.clear(SIGNED_USERS_LOG.under(signer));
}

/// The users of the whole server who changed after `since`, in order of their last changes.
pub async fn log_since(
    db: &impl Read,
    since: Stamp,
    limit: usize,
) -> Result<Vec<(Position, UserNumber)>, StoreError> {
    db.page(DEVICE_LIST_LOG.all().after(Position::last_of(since)), limit)
        .await
}

/// Those of `users` that changed after `since`. The cost is proportional to the number of changes
/// since or to the number of users, whichever is less.
pub async fn changed_since<S: BuildHasher + Sync>(
    db: &impl Read,
    users: &HashSet<UserNumber, S>,
    since: Stamp,
) -> Result<Vec<UserNumber>, StoreError> {
    if users.is_empty() {
        return Ok(Vec::new());
    }
    let limit = users.len() + AHEAD;
    let log = log_since(db, since, limit).await?;
    if log.len() < limit {
        let changed = log.into_iter().map(|(_, user)| user);
        return Ok(changed.filter(|user| users.contains(user)).collect());
    }
    let mut asked: Vec<UserNumber> = users.iter().copied().collect();
    asked.sort_unstable();
    let mut changed = Vec::new();
    for chunk in asked.chunks(PAGE) {
        let rows = chunk.iter().map(|user| DEVICE_LISTS.at(*user)).collect();
        for (user, last) in chunk.iter().zip(db.get_many(rows).await?) {
            if last.is_some_and(|last| last.position.0 > since) {
                changed.push(*user);
            }
        }
    }
    Ok(changed)
}

/// The users that `signer` has signed after `since`. Only the signer's devices see a change of
/// their
/// keys.
pub async fn signed_since(
    db: &impl Read,
    signer: UserNumber,
    since: Stamp,
) -> Result<Vec<UserNumber>, StoreError> {
    let rows = SIGNED_USERS_LOG
        .under(signer)
        .after((signer, Position::last_of(since)));
    let signed = db.page(rows, usize::MAX).await?;
    Ok(signed.into_iter().map(|(_, target)| target).collect())
}

pub(crate) fn tables() -> Vec<TableInfo> {
    vec![
        DEVICE_LISTS.info(),
        DEVICE_LIST_LOG.info(),
        SIGNED_USERS.info(),
        SIGNED_USERS_LOG.info(),
    ]
}
