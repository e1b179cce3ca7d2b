//! `/keys/upload`: identity keys, one-time keys and fallback keys of a device, all in one commit.

use std::collections::BTreeMap;

use database::{Read, StoreError, Txn, UserNumber};
use ruma::UserId;

use super::{
    error::KeyError,
    forget::forget_one_time_keys,
    one_time::{put_fallback_keys, put_one_time_keys},
    shape::{DeviceKeys, ED25519, OneTimeKey, Usage},
    tables::{CROSS_SIGNING_KEYS, DEVICE_KEYS, DeviceKeysRow, KEY_SIGNATURES},
};
use crate::{
    device_lists,
    handle::{Devices, Limits},
    tables::DEVICES,
};

/// The keys of one upload.
#[derive(Clone, Debug, Default)]
pub struct KeyUpload {
    pub device_keys: Option<DeviceKeys>,
    pub one_time_keys: Vec<OneTimeKey>,
    pub fallback_keys: Vec<OneTimeKey>,
}

impl Devices {
    /// Stores an upload completely or not at all. Returns the number of unclaimed one-time keys of
    /// the device, by algorithm.
    pub async fn upload_keys(
        &self,
        user: UserNumber,
        user_id: &UserId,
        device: &str,
        upload: &KeyUpload,
    ) -> Result<BTreeMap<String, u64>, KeyError> {
        let _turn = self.0.turns.take([(user, device)].into_iter()).await;
        let limits = &self.0.limits;
        let body = move |txn: Txn| async move {
            if !txn.exists(DEVICES.at((user, device))).await? {
                return Err(KeyError::NoDevice);
            }
            store(&txn, user, user_id, device, upload, limits).await
        };
        Ok(self.0.store.transact(body).await?.0)
    }
}

/// Stores an upload for a device that exists.
pub(crate) async fn store(
    txn: &Txn,
    user: UserNumber,
    user_id: &UserId,
    device: &str,
    upload: &KeyUpload,
    limits: &Limits,
) -> Result<BTreeMap<String, u64>, KeyError> {
    check_sizes(upload, limits)?;
    if let Some(keys) = &upload.device_keys {
        put_identity_keys(txn, user, user_id, device, keys).await?;
    }
    put_fallback_keys(txn, user, device, &upload.fallback_keys).await?;
    let most = limits.one_time_keys;
    let counts = put_one_time_keys(txn, user, device, &upload.one_time_keys, most).await?;
    Ok(counts.unclaimed)
}

fn check_sizes(upload: &KeyUpload, limits: &Limits) -> Result<(), KeyError> {
    let keys = upload.one_time_keys.iter().chain(&upload.fallback_keys);
    let largest = keys.map(|key| key.json.len()).max().unwrap_or_default();
    let identity = upload
        .device_keys
        .as_ref()
        .map_or(0, |keys| keys.object.bytes());
    if largest.max(identity) > limits.key_bytes {
        return Err(KeyError::TooLarge("key object"));
    }
    Ok(())
}

/// New identity keys replace the old ones and everything that belongs to them.
async fn put_identity_keys(
    txn: &Txn,
    user: UserNumber,
    user_id: &UserId,
    device: &str,
    keys: &DeviceKeys,
) -> Result<(), KeyError> {
    let published = txn.page(CROSS_SIGNING_KEYS.under(user), 3).await?;
    if published.iter().any(|(_, key)| key.public_key == device) {
        return Err(KeyError::KeyIdInUse);
    }
    let row = DeviceKeysRow {
        signed: keys.object.signed.clone(),
        ed25519: keys.ed25519.clone(),
        signatures: keys.object.signatures_of(user_id.as_str()),
    };
    let old = txn.get(DEVICE_KEYS.at((user, device))).await?;
    if old.as_ref() == Some(&row) {
        return Ok(());
    }
    if let Some(old) = old {
        if old.signed != row.signed {
            txn.clear(KEY_SIGNATURES.under((user, user, device)));
        }
        if old.ed25519 != row.ed25519 {
            // Signatures of the old key are void.
            forget_one_time_keys(txn, user, device).await?;
            unsign_master_key(txn, user, device).await?;
        }
    }
    txn.put(DEVICE_KEYS.at((user, device)), &row);
    device_lists::change(txn, user).await?;
    Ok(())
}

/// Deletes the signature of a device's key on its user's master key.
pub(super) async fn unsign_master_key(
    txn: &Txn,
    user: UserNumber,
    device: &str,
) -> Result<(), StoreError> {
    let master = CROSS_SIGNING_KEYS.at((user, Usage::Master as u8));
    if let Some(mut master) = txn.get(master.clone()).await? {
        let by = format!("{ED25519}:{device}");
        txn.delete(KEY_SIGNATURES.at((user, user, &master.public_key, &by)));
        if master.signatures.remove(&by).is_some() {
            txn.put(CROSS_SIGNING_KEYS.at((user, Usage::Master as u8)), &master);
        }
    }
    Ok(())
}
