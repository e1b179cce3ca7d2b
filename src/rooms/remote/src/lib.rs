//! Rooms among servers: joining and leaving over federation, receiving transactions, fetching what is
//! missing. The only crate of rooms that sends requests to other servers.
//!
//! * [`RemoteRooms`]: the handle.
//! * `check`: from the text of other servers to events that a room's writer may receive.
//! * `acl`: which servers a room excludes.
//! * `inbox`: transactions of other servers, from the request to the room's writer; `delivery` and `missing`: what
//!   is fetched for their events.
//! * `backfill`: older history, for those who scroll up.
//! * `edus`: what other servers say besides events.

mod acl;
mod backfill;
mod check;
mod delivery;
mod directory;
mod edus;
mod handle;
mod inbox;
mod join;
mod missing;
mod serving;
mod tables;

pub use crate::{
    check::{BadPdu, Checked, KeySource},
    directory::ResolvedAlias,
    edus::{Edu, EduReceiver},
    handle::{RemoteNeeds, RemoteRooms},
    inbox::{Transaction, TransactionError},
    join::JoinJob,
    serving::{Handshake, HandshakeError, JoinedState, Served, ServedState, Template},
    tables::{InboundAnswer, InboxPdu, InboxShare, WaitingPdu, tables},
};
