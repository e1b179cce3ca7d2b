//! The limit of an inbox.
//!
//! Senders only append, so that a thousand of them may write to one device without conflicts. Memory
//! tallies deliveries since the start; once that is much, the inbox is counted: the size up to the
//! last count is a row, and only later messages are read. From then on the tally is the size of the
//! inbox. Above the bound, the oldest messages are dropped.
//!
//! A delivery is tallied and the bound enforced before its commit, so that a sender who disconnects
//! cannot evade them.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use database::{Position, Read, StoreError, Txn, UserNumber};

use super::tables::{DROPPED_MESSAGES, INBOX, INBOX_SIZES, InboxSize};
use crate::handle::{Devices, Limits};

/// A share of the bound: an inbox is counted when it has received this since the start, and has this
/// much room after messages were dropped.
const SHARE: u64 = 32;
/// Messages read at once: a few megabytes of the largest.
const PAGE: usize = 64;

/// Owner: the handle. Bound: a count of devices; when it is reached, all tallies are dropped, and
/// inboxes are counted again.
#[derive(Default)]
pub(crate) struct Tallies(Mutex<HashMap<(UserNumber, Box<str>), Tally>>);

const MAX_TALLIES: usize = 1 << 16;

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    messages: u64,
    bytes: u64,
    /// It is the size of the inbox, not only of the deliveries since the start.
    is_counted: bool,
}

/// Messages that are about to be put into one inbox.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) user: UserNumber,
    pub(super) device: String,
    pub(super) bytes: u64,
}

impl Tallies {
    fn lock(&self) -> MutexGuard<'_, HashMap<(UserNumber, Box<str>), Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, delivery: &Delivery) -> Tally {
        let mut tallies = self.lock();
        if tallies.len() >= MAX_TALLIES {
            tallies.clear();
        }
        let tally = tallies
            .entry((delivery.user, delivery.device.as_str().into()))
            .or_default();
        tally.messages += 1;
        tally.bytes += delivery.bytes;
        *tally
    }

    /// After a count: the size on disk, and the delivery that is about to come.
    fn set(&self, delivery: &Delivery, size: InboxSize) {
        let tally = Tally {
            messages: size.messages + 1,
            bytes: size.bytes + delivery.bytes,
            is_counted: true,
        };
        self.lock()
            .insert((delivery.user, delivery.device.as_str().into()), tally);
    }

    pub(super) fn subtract(&self, user: UserNumber, device: &str, messages: u64, bytes: u64) {
        if messages == 0 {
            return;
        }
        if let Some(tally) = self.lock().get_mut(&(user, device.into())) {
            tally.messages = tally.messages.saturating_sub(messages);
            tally.bytes = tally.bytes.saturating_sub(bytes);
        }
    }
}

impl Devices {
    /// Tallies a delivery before its commit, and makes room for it in an inbox that is full.
    pub(super) async fn limit_inbox(&self, delivery: &Delivery) -> Result<(), StoreError> {
        let limits = &self.0.limits;
        let tally = self.0.tallies.add(delivery);
        let share = if tally.is_counted { 1 } else { SHARE };
        let is_small = tally.messages <= limits.inbox_messages / share
            && tally.bytes <= limits.inbox_bytes / share;
        if is_small {
            return Ok(());
        }
        let (user, device) = (delivery.user, delivery.device.as_str());
        let body = move |txn: Txn| async move {
            let mut size = count(&txn, user, device).await?;
            let is_over = size.messages + 1 > limits.inbox_messages
                || size.bytes + delivery.bytes > limits.inbox_bytes;
            let dropped = match is_over {
                true => drop_oldest(&txn, delivery, &mut size, limits).await?,
                false => 0,
            };
            txn.put(INBOX_SIZES.at((user, device)), &size);
            Ok::<_, StoreError>((size, dropped))
        };
        let ((size, dropped), _) = self.0.store.transact(body).await?;
        self.0.tallies.set(delivery, size);
        if dropped > 0 {
            tracing::warn!(
                device.id = device,
                dropped,
                "the inbox of a device was full: its oldest messages were dropped"
            );
        }
        Ok(())
    }
}

/// The size of an inbox: that of the last count, and later messages. Messages that are appended
/// meanwhile come behind the end and are no conflict.
async fn count(txn: &Txn, user: UserNumber, device: &str) -> Result<InboxSize, StoreError> {
    let end = Position::last_of(txn.stamp());
    let counted = txn.get(INBOX_SIZES.at((user, device))).await?;
    let mut size = counted.unwrap_or(InboxSize {
        messages: 0,
        bytes: 0,
        through: Position::MIN,
    });
    loop {
        let rows = INBOX.under((user, device)).through((user, device, end));
        let rows = rows.after((user, device, size.through));
        let page = txn.page(rows, PAGE).await?;
        for ((_, _, position), event) in &page {
            size.messages += 1;
            size.bytes += event.len() as u64;
            size.through = *position;
        }
        if page.len() < PAGE {
            return Ok(size);
        }
    }
}

/// Drops the oldest messages until a share of the bound is free behind the delivery; returns how
/// many.
async fn drop_oldest(
    txn: &Txn,
    delivery: &Delivery,
    size: &mut InboxSize,
    limits: &Limits,
) -> Result<u64, StoreError> {
    let (user, device) = (delivery.user, delivery.device.as_str());
    let messages = limits.inbox_messages - limits.inbox_messages / SHARE;
    let bytes = limits.inbox_bytes - limits.inbox_bytes / SHARE;
    let (messages, bytes) = (
        messages.saturating_sub(1),
        bytes.saturating_sub(delivery.bytes),
    );
    let mut dropped = 0;
    let mut after = None;
    while size.messages > messages || size.bytes > bytes {
        let rows = INBOX.under((user, device));
        let rows = rows.through((user, device, size.through));
        let rows = match after {
            Some(after) => rows.after((user, device, after)),
            None => rows,
        };
        let page = txn.page(rows, PAGE).await?;
        for ((_, _, position), event) in &page {
            if size.messages <= messages && size.bytes <= bytes {
                break;
            }
            txn.delete(INBOX.at((user, device, *position)));
            size.remove(*position, event);
            dropped += 1;
            after = Some(*position);
        }
        if page.len() < PAGE {
            break;
        }
    }
    let row = DROPPED_MESSAGES.at((user, device));
    let before: u64 = txn.get(row.clone()).await?.unwrap_or_default();
    txn.put(row, &(before + dropped));
    Ok(dropped)
}
