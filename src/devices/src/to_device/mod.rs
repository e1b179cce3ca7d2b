//! Messages to devices: client-server API, "Send-to-Device messaging".
//!
//! A message waits in the device's inbox, on disk, until the device acknowledges it with the token
//! of a `/sync` that contained it. Until then, every `/sync` without that token contains it again.

mod inbox;
mod limit;
mod send;
mod tables;

pub use self::{
    inbox::since,
    send::{Message, Recipient, SendError, Target},
    tables::{
        DROPPED_MESSAGES, INBOX, INBOX_SIZES, InboxSize, SENT_MESSAGES, SENT_MESSAGES_LOG,
        SentMessage,
    },
};
pub(crate) use self::{
    inbox::{forget_all_devices, forget_device},
    limit::Tallies,
    tables::tables,
};
