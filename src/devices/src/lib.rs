//! The devices of local users: what hangs on a device is made and ended here, in the commit of whoever logs in or out.
//!
//! All functions that write take a `Txn`: `users` ends a device's tokens in the same commit.

mod device;
mod tables;

pub use crate::{
    device::{DeviceEntry, create, delete, delete_all, get, list, rename, saw},
    tables::{DEVICES, Device, LAST_SEEN, LastSeen, tables},
};
