//! Messages to devices: client-server API, "Send-to-Device messaging".
//!
//! A message waits in the device's inbox, on disk, until the device says that it has it: by a `/sync` with a token of a
//! `/sync` that told it. Until then every `/sync` without that token tells it again.

mod inbox;
mod limit;
mod send;
mod tables;

pub use self::{
    inbox::since,
    send::{Message, Recipient, SendError, Target},
    tables::{DROPPED_MESSAGES, INBOX, SENT_MESSAGES, SENT_MESSAGES_LOG, SentMessage},
};
pub(crate) use self::{
    inbox::{forget_all_devices, forget_device},
    limit::Tallies,
    tables::tables,
};
