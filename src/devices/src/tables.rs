//! All tables of devices, with their writers and readers.
//!
//! Keys begin with (user, device), so that deleting a device clears one prefix per table: see
//! `device::delete`.

use database::{Record, Table, TableInfo, UserNumber};
use serde::{Deserialize, Serialize};

use crate::{dehydrated, device_lists, key_backup, keys, to_device};

/// The devices of a user. Written by login, rename and logout; read by the device endpoints.
pub static DEVICES: Table<(UserNumber, String), Device> = Table::new("devices");
/// When and from where a device was last used. Separate from `DEVICES` because it is written lazily
/// and often: it never conflicts with a rename or a logout.
pub static LAST_SEEN: Table<(UserNumber, String), LastSeen> = Table::new("devices_last_seen");

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub display_name: Option<String>,
    /// Unix milliseconds.
    pub created: u64,
}

/// The last recorded request of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastSeen {
    pub ip: String,
    /// Unix milliseconds.
    pub ts: u64,
}

impl Record for Device {}
impl Record for LastSeen {}

/// All tables of this crate, for docs/database.md.
pub fn tables() -> Vec<TableInfo> {
    let mut tables = vec![DEVICES.info(), LAST_SEEN.info()];
    tables.extend(device_lists::tables());
    tables.extend(keys::tables());
    tables.extend(key_backup::tables());
    tables.extend(to_device::tables());
    tables.extend(dehydrated::tables());
    tables
}
