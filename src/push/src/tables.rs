//! The tables of this crate.

use std::collections::BTreeMap;

use database::{Position, Record, RoomNumber, Stamp, Table, TableInfo, UserNumber};
use serde::{Deserialize, Serialize};

use crate::counts::Counts;

/// What a user had not read of a room at some moment. Written by readers who had to count far; read by those after them.
/// What is lost is counted again.
pub static UNREAD_CHECKPOINTS: Table<(UserNumber, RoomNumber), Checkpoint> =
    Table::new("unread_checkpoints");

/// The counts of a room at one stamp, and how far the user had read then. The main thread stands apart from the others,
/// because most rooms have no other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Everything up to here is counted.
    pub as_of: Stamp,
    /// Where the user's stay in the room began.
    pub joined_at: Position,
    /// The newest receipt of the whole room, or the join; nothing up to here is unread.
    pub read: Position,
    /// The newest receipt of the main thread.
    pub main_read: Position,
    pub main: Counts,
    /// The newest receipts of other threads, by root event.
    pub threads_read: BTreeMap<String, Position>,
    /// Other threads with anything unread, by root event.
    pub threads: BTreeMap<String, Counts>,
}

impl Record for Checkpoint {}

/// All tables of this crate, for docs/database.md.
pub fn tables() -> Vec<TableInfo> {
    vec![UNREAD_CHECKPOINTS.info()]
}
