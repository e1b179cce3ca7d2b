//! The limit of an inbox.
//!
//! Senders only append and store no count, so that a thousand of them can write to one device
//! without conflicts. A counter in memory adds up what was sent since the start; an inbox that has
//! received much is counted once, and from then on the counter is its size. Beyond the limit, the
//! oldest messages are dropped.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use database::{Position, Read, StoreError, Txn, UserNumber};

use super::{
    send::Delivery,
    tables::{DROPPED_MESSAGES, INBOX},
};
use crate::handle::Devices;

/// A fraction of the limit: an inbox is counted after it has received this much since the start,
/// and has this much space after messages were dropped.
const SHARE: u64 = 32;
/// Messages read at once: a few megabytes of the largest.
const PAGE: usize = 64;

/// Owner: the handle. Bound: a number of devices; when it is reached, all entries are evicted.
#[derive(Default)]
pub(crate) struct Tallies(Mutex<HashMap<(UserNumber, Box<str>), Tally>>);

const MOST: usize = 1 << 16;

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    messages: u64,
    bytes: u64,
    /// Whether this is the size of the inbox, and not only what was received since the start.
    is_counted: bool,
}

impl Tallies {
    fn lock(&self) -> MutexGuard<'_, HashMap<(UserNumber, Box<str>), Tally>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, delivery: &Delivery) -> Tally {
        let mut tallies = self.lock();
        if tallies.len() >= MOST {
            tallies.clear();
        }
        let tally = tallies
            .entry((delivery.user, delivery.device.as_str().into()))
            .or_default();
        tally.messages += 1;
        tally.bytes += delivery.bytes;
        *tally
    }

    fn set(&self, delivery: &Delivery, messages: u64, bytes: u64) {
        let tally = Tally {
            messages,
            bytes,
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
    /// Counts a delivery, and drops the oldest messages of an inbox that has become too large.
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
            let sizes = sizes(&txn, user, device).await?;
            let messages = sizes.len() as u64;
            let bytes: u64 = sizes.iter().map(|(_, bytes)| bytes).sum();
            if messages <= limits.inbox_messages && bytes <= limits.inbox_bytes {
                return Ok((messages, bytes, 0));
            }
            let most_messages = limits.inbox_messages - limits.inbox_messages / SHARE;
            let most_bytes = limits.inbox_bytes - limits.inbox_bytes / SHARE;
            let (mut left, mut left_bytes) = (messages, bytes);
            for (position, bytes) in sizes {
                if left <= most_messages && left_bytes <= most_bytes {
                    break;
                }
                txn.delete(INBOX.at((user, device, position)));
                left -= 1;
                left_bytes -= bytes;
            }
            let dropped = messages - left;
            let row = DROPPED_MESSAGES.at((user, device));
            let before: u64 = txn.get(row.clone()).await?.unwrap_or_default();
            txn.put(row, &(before + dropped));
            Ok::<_, StoreError>((left, left_bytes, dropped))
        };
        let ((messages, bytes, dropped), _) = self.0.store.transact(body).await?;
        self.0.tallies.set(delivery, messages, bytes);
        if dropped > 0 {
            tracing::warn!(
                user.number = user.0,
                device.id = device,
                dropped,
                "the inbox of a device was full: its oldest messages were dropped"
            );
        }
        Ok(())
    }
}

/// Position and bytes of all messages of an inbox. Reads a snapshot: messages that are appended in
/// the meantime do not conflict, because they come after the last one.
async fn sizes(
    txn: &Txn,
    user: UserNumber,
    device: &str,
) -> Result<Vec<(Position, u64)>, StoreError> {
    let mut sizes: Vec<(Position, u64)> = Vec::new();
    let end = Position::last_of(txn.stamp());
    loop {
        let rows = INBOX.under((user, device)).through((user, device, end));
        let rows = match sizes.last() {
            Some((last, _)) => rows.after((user, device, *last)),
            None => rows,
        };
        let page = txn.page(rows, PAGE).await?;
        let is_last = page.len() < PAGE;
        sizes.extend(
            page.into_iter()
                .map(|((_, _, position), event)| (position, event.len() as u64)),
        );
        if is_last {
            return Ok(sizes);
        }
    }
}
