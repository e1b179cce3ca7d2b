//! The rows of what is on its way to other servers.

use database::{Position, Record, RoomNumber, Table, TableInfo};
use rooms_store::state_map::EventNumber;
use serde::{Deserialize, Serialize};

/// Events that a server has not acknowledged yet, oldest first. Written by the follower of the
/// server's log; deleted by the answer to the transaction.
pub(crate) static QUEUE: Table<(String, Position), QueuedEvent> = Table::new("sender_queue");
/// EDUs that must arrive, likewise.
pub(crate) static EDU_QUEUE: Table<(String, Position), String> = Table::new("sender_edus");
/// For servers that do not answer for long: the newest event of each room that they have missed.
pub(crate) static CATCH_UP: Table<(String, RoomNumber), EventNumber> =
    Table::new("sender_catch_up");
/// Why the last transaction to a server failed. The row is deleted when one arrives.
pub(crate) static DELIVERY_ERRORS: Table<String, DeliveryError> =
    Table::new("sender_delivery_errors");

/// An event in a queue: a reference, so that a row is small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueuedEvent {
    pub room: RoomNumber,
    pub event: EventNumber,
}

/// A failed transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryError {
    /// Unix milliseconds.
    pub at: u64,
    pub reason: String,
}

impl Record for QueuedEvent {}
impl Record for DeliveryError {}

/// The tables that this crate writes.
pub fn tables() -> Vec<TableInfo> {
    vec![
        QUEUE.info(),
        EDU_QUEUE.info(),
        CATCH_UP.info(),
        DELIVERY_ERRORS.info(),
    ]
}
