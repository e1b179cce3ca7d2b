//! Deletes the keys of a device or a user, in the commit that deletes the device or deactivates the
//! user.

use database::{Read, StoreError, Txn, UserNumber};

use super::{
    tables::{
        CLAIMED_KEYS, CROSS_SIGNING_KEYS, DEVICE_KEYS, FALLBACK_KEYS, KEY_COUNTS, KEY_SIGNATURES,
        ONE_TIME_KEY_IDS, ONE_TIME_KEYS,
    },
    upload::unsign_master_key,
};
use crate::device_lists;

/// Deletes the keys of a device. Announces the change if it had published any.
pub(crate) async fn forget_device(
    txn: &Txn,
    user: UserNumber,
    device: &str,
) -> Result<(), StoreError> {
    forget_one_time_keys(txn, user, device).await?;
    if txn.exists(DEVICE_KEYS.at((user, device))).await? {
        txn.delete(DEVICE_KEYS.at((user, device)));
        txn.clear(KEY_SIGNATURES.under((user, user, device)));
        unsign_master_key(txn, user, device).await?;
        device_lists::change(txn, user).await?;
    }
    Ok(())
}

/// Deletes the keys of all devices of a user, but not the cross-signing keys.
pub(crate) async fn forget_all_devices(txn: &Txn, user: UserNumber) -> Result<(), StoreError> {
    if !txn.page(DEVICE_KEYS.under(user), 1).await?.is_empty() {
        txn.clear(DEVICE_KEYS.under(user));
        // A user's own signatures are on devices, or by devices on the master key: all are deleted.
        txn.clear(KEY_SIGNATURES.under((user, user)));
        device_lists::change(txn, user).await?;
    }
    txn.clear(ONE_TIME_KEYS.under(user));
    txn.clear(ONE_TIME_KEY_IDS.under(user));
    txn.clear(CLAIMED_KEYS.under(user));
    txn.clear(KEY_COUNTS.under(user));
    txn.clear(FALLBACK_KEYS.under(user));
    Ok(())
}

/// Deletes the cross-signing keys of a user and all signatures on them.
pub(crate) async fn forget_user(txn: &Txn, user: UserNumber) -> Result<(), StoreError> {
    if !txn
        .page(CROSS_SIGNING_KEYS.under(user), 1)
        .await?
        .is_empty()
    {
        txn.clear(CROSS_SIGNING_KEYS.under(user));
        txn.clear(KEY_SIGNATURES.under(user));
        device_lists::change(txn, user).await?;
    }
    device_lists::forget_signer(txn, user);
    Ok(())
}

/// Deletes one-time and fallback keys, and the ids of claimed ones.
pub(super) async fn forget_one_time_keys(
    txn: &Txn,
    user: UserNumber,
    device: &str,
) -> Result<(), StoreError> {
    if txn.exists(KEY_COUNTS.at((user, device))).await? {
        txn.clear(ONE_TIME_KEYS.under((user, device)));
        txn.clear(ONE_TIME_KEY_IDS.under((user, device)));
        txn.clear(CLAIMED_KEYS.under((user, device)));
        txn.delete(KEY_COUNTS.at((user, device)));
    }
    for ((_, _, algorithm), _) in txn
        .page(FALLBACK_KEYS.under((user, device)), usize::MAX)
        .await?
    {
        txn.delete(FALLBACK_KEYS.at((user, device, &algorithm)));
    }
    Ok(())
}

/// Drops all unclaimed one-time keys of the server: after a restore, some of them may have been
/// claimed after the
/// backup.
pub fn drop_one_time_keys(txn: &Txn) {
    txn.clear(ONE_TIME_KEYS.all());
    txn.clear(ONE_TIME_KEY_IDS.all());
    txn.clear(CLAIMED_KEYS.all());
    txn.clear(KEY_COUNTS.all());
}
