//! Sync: what is new for a client (client-server API, "Syncing"), and waking those who wait for it.
//!
//! `notifier` follows the server's log; `answer` builds one answer from one snapshot; `sync` puts both together.

mod answer;
mod device_lists;
mod fields;
mod filter;
mod json;
mod notifier;
mod open_requests;
mod own_rooms;
mod recent;
mod request;
mod sync;

pub use crate::{
    device_lists::DeviceLists,
    filter::Filter,
    request::{StateAfter, SyncError, SyncRequest},
    sync::{Sync, SyncConfig, SyncNeeds},
};
