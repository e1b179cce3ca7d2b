//! Rooms among servers: joining and leaving over federation, receiving transactions, fetching what is
//! missing. The only crate of rooms that sends requests to other servers.
//!
//! * [`RemoteRooms`]: the handle.
//! * `check`: from the text of other servers to events that a room's writer may receive.
//! * `acl`: which servers a room excludes.

mod acl;
mod check;
mod directory;
mod handle;
mod join;
mod serving;

pub use crate::{
    check::{BadPdu, Checked, KeySource},
    directory::ResolvedAlias,
    handle::{RemoteNeeds, RemoteRooms},
    join::{JoinJob, tables},
    serving::{Handshake, HandshakeError, JoinedState, Served, ServedState, Template},
};
