//! Sending: one request is one commit, whatever the number of devices.

use std::time::Duration;

use database::{
    Read, Snapshot, StoreError, Txn, UserNumber,
    server_log::{self, Concern},
};
use ruma::UserId;

use super::{
    limit::Delivery,
    tables::{INBOX, SENT_MESSAGES, SENT_MESSAGES_LOG, SentMessage},
};
use crate::{
    handle::{Devices, Limits},
    tables::DEVICES,
};

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
    /// With `*` counted for each device.
    #[error("one request may send {0} bytes at most, counted for each device")]
    TooMuch(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
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
        let db = self.0.store.snapshot().await?;
        let old = &self.old_requests(message, &db).await?;
        for delivery in deliveries(&db, message, limits).await? {
            self.limit_inbox(&delivery).await?;
        }
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
                return Ok(());
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
            deliver(&txn, message, limits).await
        };
        self.0.store.transact::<_, SendError, _>(body).await?;
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

async fn deliver(txn: &Txn, message: &Message<'_>, limits: &Limits) -> Result<(), SendError> {
    // Every inbox is a log of its own, so all of them take the one slot; but a device may be named,
    // and be one of all.
    let (named, all) = (txn.slot(), txn.slot());
    let mut found = Found::new(limits);
    let exist = named_devices(txn, message).await?;
    for (to, exists) in message.recipients.iter().zip(exist) {
        let devices = found.devices(txn, message, to, exists).await?;
        let slot = match to.target {
            Target::Device(_) => named,
            Target::All => all,
        };
        let event = event(message, &to.content);
        for device in &devices {
            txn.append(INBOX.end((to.user, device)), slot, &event);
        }
        if !devices.is_empty() {
            server_log::tell(txn, named, Concern::User(to.user));
        }
    }
    Ok(())
}

/// The deliveries of a request, as far as the limits of a request allow.
async fn deliveries(
    db: &Snapshot,
    message: &Message<'_>,
    limits: &Limits,
) -> Result<Vec<Delivery>, SendError> {
    let mut found = Found::new(limits);
    let mut deliveries = Vec::new();
    let exist = named_devices(db, message).await?;
    for (to, exists) in message.recipients.iter().zip(exist) {
        let devices = found.devices(db, message, to, exists).await?;
        let bytes = event_bytes(message, &to.content) as u64;
        deliveries.extend(devices.into_iter().map(|device| Delivery {
            user: to.user,
            device,
            bytes,
        }));
    }
    Ok(deliveries)
}

/// Counts the devices and bytes of one request while its recipients are resolved.
struct Found<'a> {
    limits: &'a Limits,
    devices: usize,
    bytes: usize,
}

impl<'a> Found<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            devices: 0,
            bytes: 0,
        }
    }

    /// The devices of one recipient that exist.
    async fn devices(
        &mut self,
        db: &impl Read,
        message: &Message<'_>,
        to: &Recipient,
        exists: bool,
    ) -> Result<Vec<String>, SendError> {
        let devices = match &to.target {
            Target::Device(device) if exists => vec![device.clone()],
            Target::Device(_) => Vec::new(),
            Target::All => {
                let most = self.limits.recipients + 1;
                let rows = db.page(DEVICES.under(to.user), most).await?;
                rows.into_iter().map(|((_, device), _)| device).collect()
            }
        };
        self.devices += devices.len();
        self.bytes += devices.len() * event_bytes(message, &to.content);
        if self.devices > self.limits.recipients {
            return Err(SendError::TooMany(self.limits.recipients));
        }
        if self.bytes > self.limits.request_bytes {
            return Err(SendError::TooMuch(self.limits.request_bytes));
        }
        Ok(devices)
    }
}

/// For each recipient whether the device that it names exists; read at once.
async fn named_devices(db: &impl Read, message: &Message<'_>) -> Result<Vec<bool>, StoreError> {
    let rows = message.recipients.iter().map(|to| match &to.target {
        Target::Device(device) => DEVICES.at((to.user, device)),
        Target::All => DEVICES.at((to.user, "")),
    });
    let rows = db.get_many(rows.collect()).await?;
    Ok(rows.into_iter().map(|row| row.is_some()).collect())
}

/// About: the event with its quotes and names.
fn event_bytes(message: &Message<'_>, content: &str) -> usize {
    content.len() + message.sender_id.as_str().len() + message.kind.len() + 40
}

fn event(message: &Message<'_>, content: &str) -> String {
    let quote = |text: &str| serde_json::to_string(text).expect("strings always serialize");
    format!(
        r#"{{"content":{content},"sender":{},"type":{}}}"#,
        quote(message.sender_id.as_str()),
        quote(message.kind)
    )
}
