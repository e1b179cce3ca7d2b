//! Each room's single writer.
//!
//! One task per active room with a mailbox bounded in count and bytes (`registry`), started on demand and retired when
//! idle. It takes what is in its mailbox as a group: builds and authorizes each event (`turn`), then commits all of them
//! in one transaction (`commit`). An event that fails does not fail its group. On a conflict or an error the writer drops
//! what it knows of the room and loads it again.

mod commit;
mod facts;
mod intents;
mod memberships;
mod registry;
mod task;
mod turn;

pub(crate) use self::{
    commit::NewRoom,
    registry::{Command, Intent, Registry},
    turn::{Draft, Turn},
};
