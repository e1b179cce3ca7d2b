//! Sending: one request is one commit, whatever the number of devices.

use std::time::Duration;

use database::{
    Read, Snapshot, StoreError, Txn, UserNumber,
    server_log::{self, Concern},
};
use ruma::UserId;

use super::tables::{INBOX, SENT_MESSAGES, SENT_MESSAGES_LOG, SentMessage};
use crate::{handle::Devices, tables::DEVICES};

/// The time for which a repeated request is recognized. Clients repeat within minutes.
const REMEMBERED: Duration = Duration::from_hours(24);
/// Old requests that each new one deletes.
const FORGOTTEN_AT_ONCE: usize = 4;

/// One request to send.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    pub sender: UserNumber,
    pub sender_id: &'a UserId,
    pub device: &'a str,
    pub kind: &'a str,
    pub transaction: &'a str,
    pub recipients: Vec<Recipient>,
}

/// A message for one device, or for all devices of one user.
#[derive(Clone, Debug)]
pub struct Recipient {
    pub user: UserNumber,
    pub target: Target,
    /// A JSON object.
    pub content: Box<str>,
}

/// The devices that a message is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Device(String),
    /// `*`: all devices that the user has when the message is stored.
    All,
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It was logged out in the meantime.
    #[error("the sending device was deleted")]
    NoDevice,
    #[error("a message to a device may have at most {0} bytes")]
    TooLarge(usize),
    #[error("one request may send to at most {0} devices")]
    TooMany(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A message that was stored.
pub(super) struct Delivery {
    pub(super) user: UserNumber,
    pub(super) device: String,
    pub(super) bytes: u64,
}

impl Devices {
    /// Adds a message to the inboxes of the devices that exist: to all of them or, after an error,
    /// to none.
    pub async fn send(&self, message: &Message<'_>) -> Result<(), SendError> {
        let limits = &self.0.limits;
        if message.recipients.len() > limits.recipients {
            return Err(SendError::TooMany(limits.recipients));
        }
        if message
            .recipients
            .iter()
            .any(|to| to.content.len() > limits.message_bytes)
        {
            return Err(SendError::TooLarge(limits.message_bytes));
        }
        let now = self.0.clock.now();
        let old = self
            .old_requests(message, &self.0.store.snapshot().await?)
            .await?;
        let (old, most) = (&old, limits.recipients);
        let body = move |txn: Txn| async move {
            let Message {
                sender,
                device,
                kind,
                transaction,
                ..
            } = message;
            if !txn.exists(DEVICES.at((*sender, device))).await? {
                return Err(SendError::NoDevice);
            }
            let sent = SENT_MESSAGES.at((*sender, device, kind, transaction));
            if txn.exists(sent.clone()).await? {
                return Ok(Vec::new());
            }
            txn.put(sent, &now);
            let entry = SentMessage {
                kind: (*kind).to_owned(),
                transaction: (*transaction).to_owned(),
                at: now,
            };
            txn.append(SENT_MESSAGES_LOG.end((*sender, device)), txn.slot(), &entry);
            for (position, old) in old {
                txn.delete(SENT_MESSAGES_LOG.at((*sender, device, *position)));
                txn.delete(SENT_MESSAGES.at((*sender, device, &old.kind, &old.transaction)));
            }
            deliver(&txn, message, most).await
        };
        let (delivered, _) = self.0.store.transact::<_, SendError, _>(body).await?;
        for delivery in delivered {
            self.limit_inbox(&delivery).await?;
        }
        Ok(())
    }

    /// Requests of the device that are too old to be repeated.
    async fn old_requests(
        &self,
        message: &Message<'_>,
        db: &Snapshot,
    ) -> Result<Vec<(database::Position, SentMessage)>, StoreError> {
        let now = self.0.clock.now();
        let log = SENT_MESSAGES_LOG.under((message.sender, message.device));
        let oldest = db.page(log, FORGOTTEN_AT_ONCE).await?;
        let old = oldest
            .into_iter()
            .filter(|(_, sent)| now.since(sent.at) > REMEMBERED);
        Ok(old
            .map(|((_, _, position), sent)| (position, sent))
            .collect())
    }
}

async fn deliver(
    txn: &Txn,
    message: &Message<'_>,
    most: usize,
) -> Result<Vec<Delivery>, SendError> {
    let mut delivered = Vec::new();
    // Every inbox is a separate log, so all use the same slot. But one device can be addressed
    // twice: by its
    // id and by `*`.
    let (named, all) = (txn.slot(), txn.slot());
    for (to, exists) in message
        .recipients
        .iter()
        .zip(named_devices(txn, message).await?)
    {
        let (slot, devices) = match &to.target {
            Target::Device(device) if exists => (named, vec![device.clone()]),
            Target::Device(_) => continue,
            Target::All => {
                let rows = txn.page(DEVICES.under(to.user), usize::MAX).await?;
                let devices = rows.into_iter().map(|((_, device), _)| device);
                (all, devices.collect())
            }
        };
        let event = event(message, &to.content);
        for device in devices {
            txn.append(INBOX.end((to.user, &device)), slot, &event);
            let bytes = event.len() as u64;
            delivered.push(Delivery {
                user: to.user,
                device,
                bytes,
            });
        }
        server_log::tell(txn, named, Concern::User(to.user));
        if delivered.len() > most {
            return Err(SendError::TooMany(most));
        }
    }
    Ok(delivered)
}

/// For each recipient, whether its device exists; one read for all.
async fn named_devices(txn: &Txn, message: &Message<'_>) -> Result<Vec<bool>, StoreError> {
    let rows = message.recipients.iter().map(|to| match &to.target {
        Target::Device(device) => DEVICES.at((to.user, device)),
        Target::All => DEVICES.at((to.user, "")),
    });
    let rows = txn.get_many(rows.collect()).await?;
    Ok(rows.into_iter().map(|row| row.is_some()).collect())
}

fn event(message: &Message<'_>, content: &str) -> String {
    let quote = |text: &str| serde_json::to_string(text).expect("strings always serialize");
    format!(
        r#"{{"content":{content},"sender":{},"type":{}}}"#,
        quote(message.sender_id.as_str()),
        quote(message.kind)
    )
}
