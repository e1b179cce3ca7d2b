//! The keys, lists, inboxes and backups of devices, on the memory engine; claims on both engines.

mod claims;
mod cross_signing;
mod dehydration;
mod device_lists;
mod endings;
mod house;
mod key_backup;
mod one_time_keys;
mod shapes;
mod to_device;
