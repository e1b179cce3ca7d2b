//! Dehydrated devices (MSC3814): a device without a session that collects room keys until
//! its user logs in again.
//!
//! It is deleted like other devices. Reading its inbox does not empty it, so that an interrupted
//! rehydration can be restarted on any device.

use database::{Read, Record, StoreError, Table, TableInfo, Txn, UserNumber};
use ruma::UserId;
use serde::{Deserialize, Serialize};

use crate::{
    device,
    handle::Devices,
    keys::{self, KeyError, KeyUpload},
    tables::{DEVICES, Device},
};

/// The dehydrated device of a user, if there is one.
pub static DEHYDRATED: Table<UserNumber, DehydratedRow> = Table::new("dehydrated_devices");

/// A dehydrated device as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DehydratedRow {
    pub device: String,
    /// `device_data` as it was uploaded: a JSON object that is opaque to the server.
    pub data: String,
}

impl Record for DehydratedRow {}

/// A request to store a dehydrated device.
#[derive(Clone, Debug)]
pub struct NewDehydrated<'a> {
    pub device: &'a str,
    pub data: &'a str,
    pub display_name: Option<String>,
    pub keys: &'a KeyUpload,
}

impl Devices {
    /// Replaces the user's dehydrated device and everything that belongs to it, in one commit.
    pub async fn dehydrate(
        &self,
        user: UserNumber,
        user_id: &UserId,
        new: &NewDehydrated<'_>,
    ) -> Result<(), KeyError> {
        let limits = &self.0.limits;
        if new.data.len() > limits.key_bytes {
            return Err(KeyError::TooLarge("device data"));
        }
        let row = &DehydratedRow {
            device: new.device.to_owned(),
            data: new.data.to_owned(),
        };
        let created = self.0.clock.now().0;
        let shown = &Device {
            display_name: new.display_name.clone(),
            created,
        };
        let body = move |txn: Txn| async move {
            remove(&txn, user).await?;
            if txn.exists(DEVICES.at((user, new.device))).await? {
                return Err(KeyError::KeyIdInUse); // a device that somebody is logged in with
            }
            device::create(&txn, user, new.device, shown).await?;
            txn.put(DEHYDRATED.at(user), row);
            keys::store(&txn, user, user_id, new.device, new.keys, limits).await?;
            Ok(())
        };
        self.0.store.transact(body).await.map(|((), _)| ())
    }

    /// Deletes the dehydrated device of a user and returns its id.
    pub async fn delete_dehydrated(&self, user: UserNumber) -> Result<Option<String>, StoreError> {
        let body = move |txn: Txn| async move { remove(&txn, user).await };
        Ok(self.0.store.transact(body).await?.0)
    }
}

/// The dehydrated device of a user.
pub async fn get(db: &impl Read, user: UserNumber) -> Result<Option<DehydratedRow>, StoreError> {
    db.get(DEHYDRATED.at(user)).await
}

async fn remove(txn: &Txn, user: UserNumber) -> Result<Option<String>, StoreError> {
    let Some(old) = txn.get(DEHYDRATED.at(user)).await? else {
        return Ok(None);
    };
    device::delete(txn, user, &old.device).await?;
    Ok(Some(old.device))
}

/// Removes a deleted device from this table.
pub(crate) async fn forget_device(
    txn: &Txn,
    user: UserNumber,
    device: &str,
) -> Result<(), StoreError> {
    if txn
        .get(DEHYDRATED.at(user))
        .await?
        .is_some_and(|row| row.device == device)
    {
        txn.delete(DEHYDRATED.at(user));
    }
    Ok(())
}

pub(crate) fn forget_user(txn: &Txn, user: UserNumber) {
    txn.delete(DEHYDRATED.at(user));
}

pub(crate) fn tables() -> Vec<TableInfo> {
    vec![DEHYDRATED.info()]
}
