//! Making, reading, renaming and ending devices: client-server API, "Device Management".

use database::{Read, StoreError, Txn, UserNumber};

use crate::{
    dehydrated, key_backup, keys,
    tables::{DEVICES, Device, LAST_SEEN, LastSeen},
    to_device,
};

/// How many devices are read at once.
const PAGE: usize = 256;

/// A device with what the list of devices shows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceEntry {
    pub id: String,
    pub device: Device,
    /// Up to ten minutes old; `None` before the first request was written down.
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

/// Makes a device where there is none. A device that exists keeps its name and age, as the spec asks of a login with a known
/// device id.
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

/// Says whether there is such a device. No name leaves the old one.
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

/// Ends a device with everything that hangs on it; others learn of it if it had published keys.
pub async fn delete(txn: &Txn, user: UserNumber, id: &str) -> Result<(), StoreError> {
    txn.delete(DEVICES.at((user, id)));
    txn.delete(LAST_SEEN.at((user, id)));
    keys::forget_device(txn, user, id).await?;
    to_device::forget_device(txn, user, id).await?;
    dehydrated::forget_device(txn, user, id).await
}

/// Ends all devices of a user at once, with everything that hangs on them. Cross-signing keys and backups stay.
pub async fn delete_all(txn: &Txn, user: UserNumber) -> Result<(), StoreError> {
    txn.clear(DEVICES.under(user));
    txn.clear(LAST_SEEN.under(user));
    keys::forget_all_devices(txn, user).await?;
    to_device::forget_all_devices(txn, user);
    dehydrated::forget_user(txn, user);
    Ok(())
}

/// Ends what a user has besides devices: cross-signing keys and backups. For an account that is deactivated.
pub async fn forget(txn: &Txn, user: UserNumber) -> Result<(), StoreError> {
    keys::forget_user(txn, user).await?;
    key_backup::forget_user(txn, user);
    Ok(())
}

/// Notes a use of a device, if it still exists: a late note must not bring back what a logout cleared.
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
