//! Creating, reading, renaming and deleting devices: client-server API, "Device Management".

use database::{Read, StoreError, Txn, UserNumber};

use crate::{
    dehydrated, key_backup, keys,
    tables::{DEVICES, Device, LAST_SEEN, LastSeen},
    to_device,
};

/// Devices that are read at once.
const PAGE: usize = 256;

/// A device as the list of devices shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceEntry {
    pub id: String,
    pub device: Device,
    /// Up to ten minutes old; `None` before the first request is recorded.
    pub last_seen: Option<LastSeen>,
}

pub async fn get(
    db: &impl Read,
    user: UserNumber,
    id: &str,
) -> Result<Option<DeviceEntry>, StoreError> {
    let Some(device) = db.get(DEVICES.at((user, id))).await? else {
        return Ok(None);
    };
    let last_seen = db.get(LAST_SEEN.at((user, id))).await?;
    Ok(Some(DeviceEntry {
        id: id.to_owned(),
        device,
        last_seen,
    }))
}

/// All devices of a user, by id.
pub async fn list(db: &impl Read, user: UserNumber) -> Result<Vec<DeviceEntry>, StoreError> {
    let mut entries: Vec<DeviceEntry> = Vec::new();
    loop {
        let rows = match entries.last() {
            Some(last) => DEVICES.under(user).after((user, &last.id)),
            None => DEVICES.under(user),
        };
        let page = db.page(rows, PAGE).await?;
        let is_last = page.len() < PAGE;
        let seen = page
            .iter()
            .map(|((_, id), _)| LAST_SEEN.at((user, id)))
            .collect();
        let seen = db.get_many(seen).await?;
        entries.extend(
            page.into_iter()
                .zip(seen)
                .map(|(((_, id), device), last_seen)| DeviceEntry {
                    id,
                    device,
                    last_seen,
                }),
        );
        if is_last {
            return Ok(entries);
        }
    }
}

/// Why a user gets no new device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceRefusal {
    #[error("this device id is the id of one of the user's cross-signing keys")]
    CrossSigningKey,
    #[error("a user has at most {0} devices")]
    TooMany(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks that a user may have a device of this id: both kinds of keys share one namespace, and the
/// number of devices is bounded. A device that exists always passes the bound.
pub async fn check_new(
    db: &impl Read,
    user: UserNumber,
    id: &str,
    limit: usize,
) -> Result<(), DeviceRefusal> {
    if keys::is_cross_signing_key(db, user, id).await? {
        return Err(DeviceRefusal::CrossSigningKey);
    }
    let is_full = db.page(DEVICES.under(user), limit).await?.len() >= limit;
    if is_full && !db.exists(DEVICES.at((user, id))).await? {
        return Err(DeviceRefusal::TooMany(limit));
    }
    Ok(())
}

/// Creates a device if it does not exist. An existing device keeps its name and creation time, as
/// the spec requires for a login with a known device id.
pub async fn create(
    txn: &Txn,
    user: UserNumber,
    id: &str,
    device: &Device,
) -> Result<(), StoreError> {
    if !txn.exists(DEVICES.at((user, id))).await? {
        txn.put(DEVICES.at((user, id)), device);
    }
    Ok(())
}

/// Returns whether the device exists. Without a name, the old one stays.
pub async fn rename(
    txn: &Txn,
    user: UserNumber,
    id: &str,
    display_name: Option<&str>,
) -> Result<bool, StoreError> {
    let Some(mut device) = txn.get(DEVICES.at((user, id))).await? else {
        return Ok(false);
    };
    if let Some(name) = display_name {
        device.display_name = Some(name.to_owned());
        txn.put(DEVICES.at((user, id)), &device);
    }
    Ok(true)
}

/// Deletes a device and everything that belongs to it. Announces the change if it had published
/// keys.
pub async fn delete(txn: &Txn, user: UserNumber, id: &str) -> Result<(), StoreError> {
    txn.delete(DEVICES.at((user, id)));
    txn.delete(LAST_SEEN.at((user, id)));
    keys::forget_device(txn, user, id).await?;
    to_device::forget_device(txn, user, id).await?;
    dehydrated::forget_device(txn, user, id).await
}

/// Deletes all devices of a user and everything that belongs to them. Cross-signing keys and
/// backups stay.
pub async fn delete_all(txn: &Txn, user: UserNumber) -> Result<(), StoreError> {
    txn.clear(DEVICES.under(user));
    txn.clear(LAST_SEEN.under(user));
    keys::forget_all_devices(txn, user).await?;
    to_device::forget_all_devices(txn, user);
    dehydrated::forget_user(txn, user);
    Ok(())
}

/// Deletes cross-signing keys and backups of a deactivated account.
pub async fn forget(txn: &Txn, user: UserNumber) -> Result<(), StoreError> {
    keys::forget_user(txn, user).await?;
    key_backup::forget_user(txn, user);
    Ok(())
}

/// Records a use of a device, if it still exists: a late write must not restore a row that a logout
/// deleted.
pub async fn saw(
    txn: &Txn,
    user: UserNumber,
    id: &str,
    last_seen: &LastSeen,
) -> Result<(), StoreError> {
    if txn.exists(DEVICES.at((user, id))).await? {
        txn.put(LAST_SEEN.at((user, id)), last_seen);
    }
    Ok(())
}
