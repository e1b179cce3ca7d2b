//! The quota of a user's account data. Read markers do not count: rooms write them, one per room.

use database::{Placed, Read, StoreError, Txn, UserNumber};

use crate::{
    account_data::{AccountData, all_global, all_of_rooms},
    tables::{ACCOUNT_DATA_SIZES, AccountDataSize},
};

/// Bytes of one piece of account data, so that no stored value is large.
pub(super) const MAX_CONTENT: usize = 96 * 1024;

const READ_MARKER: &str = "m.fully_read";

/// What the account data of one user may take up, global and of all rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountDataLimits {
    /// Types, counted for each room.
    pub types: u64,
    /// Bytes of all contents.
    pub bytes: u64,
}

/// Why account data was not set.
#[derive(Debug, thiserror::Error)]
pub enum AccountDataError {
    #[error("account data has at most {MAX_CONTENT} bytes")]
    TooLarge,
    #[error("the account data of a user has at most {} types and {} bytes", .0.types, .0.bytes)]
    Full(AccountDataLimits),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Default for AccountDataLimits {
    fn default() -> Self {
        Self {
            types: 200_000,
            bytes: 64 << 20,
        }
    }
}

impl AccountDataLimits {
    /// Fails if a change made the size exceed a limit, or exceed it further.
    pub(super) fn check(
        self,
        before: AccountDataSize,
        after: AccountDataSize,
    ) -> Result<(), AccountDataError> {
        let is_over = after.rows > self.types && after.rows > before.rows
            || after.bytes > self.bytes && after.bytes > before.bytes;
        if is_over {
            return Err(AccountDataError::Full(self));
        }
        Ok(())
    }
}

/// The size as the last change left it.
pub(super) async fn size(db: &impl Read, user: UserNumber) -> Result<AccountDataSize, StoreError> {
    if let Some(size) = db.get(ACCOUNT_DATA_SIZES.at(user)).await? {
        return Ok(size);
    }
    let mut data = all_global(db, user).await?;
    data.extend(all_of_rooms(db, user).await?);
    let counted = |data: &&AccountData| data.kind != READ_MARKER;
    let mut size = AccountDataSize::default();
    for data in data.iter().filter(counted) {
        size.rows += 1;
        size.bytes += data.content.len() as u64;
    }
    Ok(size)
}

/// Counts a change of one row that is about to be written.
pub(super) async fn count(
    txn: &Txn,
    user: UserNumber,
    kind: &str,
    before: Option<&Placed<String>>,
    after: &str,
) -> Result<(), StoreError> {
    if kind == READ_MARKER {
        return Ok(());
    }
    let mut size = size(txn, user).await?;
    match before {
        Some(before) => size.bytes = size.bytes.saturating_sub(before.value.len() as u64),
        None => size.rows += 1,
    }
    size.bytes += after.len() as u64;
    txn.put(ACCOUNT_DATA_SIZES.at(user), &size);
    Ok(())
}
