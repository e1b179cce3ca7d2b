//! Each room's single writer: everything that becomes an event passes here, one task per active room.
//!
//! The task (`task`) has a mailbox bounded in count and bytes (`registry`), is started on demand and retired when idle. It
//! takes what is in its mailbox as one batch. Local intents (`intents`) become signed events (`build`), events of other servers
//! are judged (`judge`) and placed (`receive`), where gaps are kept (`gaps`) and redactions find their targets (`redactions`);
//! both join one turn (`turn`), which is committed as one transaction (`commit`). Forked states are resolved beside the room's
//! other work (`resolution`). An event that fails does not fail its batch. After a conflict or an error the writer drops what it
//! knows of the room and loads it again.

mod build;
mod commit;
mod create;
mod defects;
mod derive;
mod facts;
mod first_state;
mod forget;
mod gaps;
mod graph;
mod handle;
mod intents;
mod judge;
mod membership;
mod memberships;
mod open;
mod open_rooms;
mod outside;
mod receive;
mod received;
mod redactions;
mod registry;
mod relations;
mod remote;
mod resolution;
mod room_log;
mod send;
mod state_set;
mod task;
mod transactions;
mod turn;
mod typing;
mod user_jobs;
mod verdicts;

#[cfg(feature = "defects")]
pub use crate::defects::Defect;
pub use crate::{
    create::{CreateRoom, InitialState, Preset, Visibility},
    handle::{MailboxLimits, RelationLimits, RoomWriter, WriterConfig},
    membership::{Change, MembershipRequest},
    outside::{Noted, OutsideChange, OutsideNote, OutsidePlace, ReferenceHashes},
    received::{Arrival, Outcome, ReceivedPdu},
    send::{Message, Redaction, Sent, State, TransactionId},
    transactions::REMEMBERED,
    typing::Typing,
};
