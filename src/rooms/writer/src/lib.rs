//! Each room's single writer: everything that becomes an event passes here, one task per active room.
//!
//! The task (`task`) has a mailbox bounded in count and bytes (`registry`), is started on demand and retired when idle. It
//! takes what is in its mailbox as one batch: builds and authorizes each event (`turn`), then commits all of them in one
//! transaction (`commit`). An event that fails does not fail its batch. After a conflict or an error the writer drops what
//! it knows of the room and loads it again.

mod commit;
mod create;
mod facts;
mod forget;
mod handle;
mod intents;
mod membership;
mod memberships;
mod open;
mod open_rooms;
mod registry;
mod send;
mod task;
mod transactions;
mod turn;
mod typing;
mod user_jobs;

pub use crate::{
    create::{CreateRoom, InitialState, Preset, Visibility},
    handle::{MailboxLimits, RoomWriter, WriterConfig},
    membership::{Change, MembershipRequest},
    send::{Message, Redaction, Sent, State, TransactionId},
    transactions::REMEMBERED,
    typing::Typing,
};
