//! Push: how many events of a room a user has not read, and how many of those stand out (client-server API, "Receiving
//! notifications").
//!
//! A message costs nothing here. Who reads the counts at a snapshot gets those of the last checkpoint plus what the rules
//! say of the events since, up to the snapshot; which predefined rules hold for an event is found once for all members.

mod checkpoint;
mod counting;
mod counts;
mod judge;
mod meaning;
mod notifications;
mod push;
mod reader;
mod receipts;
mod stretch;
mod sweep;
pub mod tables;

pub use crate::{
    counts::{Counts, Unread},
    notifications::{NotificationsError, NotificationsRequest, Wanted},
    push::{Place, Push, PushConfig, Recent},
    reader::Reader,
    tables::tables,
};
