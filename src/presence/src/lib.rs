//! Presence: who is online, and how many members of each room are (client-server API, "Presence").
//!
//! [`Presence`] is the handle. `board` is what is held in memory: a state machine without I/O or
//! clock. `task` applies the server's log and the passing of time to it. Devices that sync, and
//! `PUT /presence`, make a user online; the last state of each user is on disk, so that a restart
//! shows it at once.

mod board;
mod connection;
mod load;
mod online;
mod presence;
mod state;
pub mod tables;
mod task;

pub use crate::{
    board::{RemoteState, Update, Updates},
    connection::Connection,
    online::ServerOnline,
    presence::{MAX_STATUS_BYTES, Presence, PresenceConfig, PresenceError, Status, Woken},
    state::{PresenceState, SetPresence},
    tables::tables,
};
