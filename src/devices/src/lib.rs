//! The devices of local users: what hangs on a device is made and ended here, in the commit of whoever logs in or out.
//!
//! Functions that take a `Txn` write into the commit of `users`, which ends a device's tokens along with it. What devices
//! publish and send each other goes through the handle [`Devices`].

pub mod dehydrated;
mod device;
pub mod device_lists;
mod handle;
pub mod key_backup;
pub mod keys;
mod state;
mod tables;
pub mod to_device;

pub use crate::{
    device::{DeviceEntry, create, delete, delete_all, forget, get, list, rename, saw},
    handle::{Devices, Limits},
    keys::drop_one_time_keys,
    state::DeviceState,
    tables::{DEVICES, Device, LAST_SEEN, LastSeen, tables},
};
