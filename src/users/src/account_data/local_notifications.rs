//! Notification settings of a device, as account data whose type ends in the device id (MSC3890).
//! They are deleted with their device, in the same commit, and the deletion is sent to the user's
//! other devices.

use database::{Read, StoreError, Txn, UserNumber};

use crate::{
    account_data::{DELETED, PAGE, put},
    tables::ACCOUNT_DATA,
};

/// The prefixes of the type: the stable one, and that of clients that implement the proposal.
const PREFIXES: [&str; 2] = [
    "m.local_notification_settings.",
    "org.matrix.msc3890.local_notification_settings.",
];

/// Deletes the settings of one device.
pub(crate) async fn forget_device(
    txn: &Txn,
    user: UserNumber,
    device: &str,
) -> Result<(), StoreError> {
    for prefix in PREFIXES {
        put(txn, user, None, &format!("{prefix}{device}"), DELETED).await?;
    }
    Ok(())
}

/// Deletes the settings of all devices, or of all but one.
pub(crate) async fn forget_devices(
    txn: &Txn,
    user: UserNumber,
    but: Option<&str>,
) -> Result<(), StoreError> {
    for prefix in PREFIXES {
        for device in devices_with_settings(txn, user, prefix).await? {
            if but != Some(device.as_str()) {
                put(txn, user, None, &format!("{prefix}{device}"), DELETED).await?;
            }
        }
    }
    Ok(())
}

async fn devices_with_settings(
    txn: &Txn,
    user: UserNumber,
    prefix: &str,
) -> Result<Vec<String>, StoreError> {
    let mut devices = Vec::new();
    let mut last = prefix.to_owned();
    loop {
        let rows = ACCOUNT_DATA.under(user).after((user, &last));
        let page = txn.page(rows, PAGE).await?;
        let is_last = page.len() < PAGE;
        for ((_, kind), _) in page {
            let Some(device) = kind.strip_prefix(prefix) else {
                return Ok(devices);
            };
            devices.push(device.to_owned());
            last = kind;
        }
        if is_last {
            return Ok(devices);
        }
    }
}
