//! The devices of local users. Everything that belongs to a device is created and deleted here, in
//! the commit of the login or logout.
//!
//! Functions that take a `Txn` are part of a commit of `users`, which also deletes the device's
//! tokens. Keys and messages go through the handle [`Devices`].

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
    device::{
        DeviceEntry, DeviceRefusal, check_new, create, delete, delete_all, forget, get, list,
        rename, saw,
    },
    handle::{Devices, Limits},
    keys::drop_one_time_keys,
    state::DeviceState,
    tables::{DEVICES, Device, LAST_SEEN, LastSeen, tables},
};
