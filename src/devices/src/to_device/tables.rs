//! All tables of messages to devices, with their writers and readers.

use database::{Millis, Position, Record, Table, TableInfo, UserNumber};
use serde::{Deserialize, Serialize};

/// Messages that wait for a device, in order of arrival: complete events as JSON. Written by
/// `sendToDevice`; read by `/sync`, which deletes acknowledged ones.
pub static INBOX: Table<(UserNumber, String, Position), String> = Table::new("to_device_inbox");
/// The size of an inbox up to a message, so that its bound needs no scan. Written when an inbox is
/// counted, and with the deletion of messages.
pub static INBOX_SIZES: Table<(UserNumber, String), InboxSize> = Table::new("to_device_sizes");
/// The number of messages that were dropped from a full inbox.
pub static DROPPED_MESSAGES: Table<(UserNumber, String), u64> = Table::new("to_device_dropped");
/// When a device sent a request: (user, device, event type, transaction id). A repeated request
/// is idempotent.
pub static SENT_MESSAGES: Table<(UserNumber, String, String, String), Millis> =
    Table::new("to_device_sent");
/// The requests of a device in order, so that old ones can be deleted.
pub static SENT_MESSAGES_LOG: Table<(UserNumber, String, Position), SentMessage> =
    Table::new("to_device_sent_log");

/// Messages and bytes of an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxSize {
    pub messages: u64,
    pub bytes: u64,
    /// Later messages are not counted yet.
    pub through: Position,
}

/// One request of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentMessage {
    pub kind: String,
    pub transaction: String,
    pub at: Millis,
}

impl Record for InboxSize {}
impl Record for SentMessage {}

pub(crate) fn tables() -> Vec<TableInfo> {
    vec![
        INBOX.info(),
        INBOX_SIZES.info(),
        DROPPED_MESSAGES.info(),
        SENT_MESSAGES.info(),
        SENT_MESSAGES_LOG.info(),
    ]
}
