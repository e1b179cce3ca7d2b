//! The rows of what other servers have sent and what still waits to enter its room.

use crate::join::JOINS;
use database::{Millis, Position, Record, RoomNumber, Table, TableInfo};
use serde::{Deserialize, Serialize};

/// PDUs that wait for the worker of their room, by the server that sent them, oldest first. Written
/// with the answer to their transaction; deleted when the room's writer has them, or when they
/// become waiting PDUs.
pub(crate) static INBOX: Table<(RoomNumber, String, Position), InboxPdu> = Table::new("inbox");
/// The event ids of what is in `inbox` and in `waiting_pdus`: nothing is in them twice.
pub(crate) static INBOX_EVENTS: Table<(RoomNumber, String), ()> = Table::new("inbox_events");
/// How much of each server is in `inbox` and in `waiting_pdus`, per room.
pub(crate) static INBOX_ORIGINS: Table<(RoomNumber, String), InboxShare> =
    Table::new("inbox_origins");
/// PDUs that miss something which only the network has, by room, sending server, and the time of
/// their next attempt.
pub(crate) static WAITING_PDUS: Table<(RoomNumber, String, Millis, String), WaitingPdu> =
    Table::new("waiting_pdus");
/// The answers to transactions of other servers, by server and transaction id, for a day.
pub(crate) static INBOUND_TRANSACTIONS: Table<(String, String), InboundAnswer> =
    Table::new("inbound_transactions");
/// The transaction ids of each server in the order in which they came.
pub(crate) static INBOUND_LOG: Table<(String, Position), String> = Table::new("inbound_log");
/// How many answers of each server are kept.
pub(crate) static INBOUND_COUNTS: Table<String, u64> = Table::new("inbound_counts");

/// An event of another server on its way to its room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxPdu {
    pub event_id: String,
    /// Canonical JSON; redacted where the content hash did not match.
    pub json: String,
    /// Whether signatures and content hash were checked. If not, keys must be fetched first.
    pub is_verified: bool,
}

/// What a server has waiting in a room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxShare {
    /// Rows of `inbox`, and bytes of their JSON.
    pub events: u64,
    pub bytes: u64,
    /// Rows of `waiting_pdus`.
    pub waiting: u64,
    /// The newest event that found no room: what precedes it is fetched when there is room again.
    pub behind: Option<String>,
    /// Nothing is fetched from the server for this room before, after an attempt that failed.
    pub fetch_after: Millis,
}

/// An event that is tried again later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitingPdu {
    pub json: String,
    pub is_verified: bool,
    /// Attempts that failed.
    pub attempts: u32,
}

/// What a transaction was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboundAnswer {
    pub at: Millis,
    /// JSON.
    pub answer: String,
}

impl Record for InboxPdu {}
impl Record for InboxShare {}
impl Record for WaitingPdu {}
impl Record for InboundAnswer {}

/// The tables that this crate writes.
pub fn tables() -> Vec<TableInfo> {
    vec![
        INBOX.info(),
        INBOX_EVENTS.info(),
        INBOX_ORIGINS.info(),
        WAITING_PDUS.info(),
        INBOUND_TRANSACTIONS.info(),
        INBOUND_LOG.info(),
        INBOUND_COUNTS.info(),
        JOINS.info(),
    ]
}
