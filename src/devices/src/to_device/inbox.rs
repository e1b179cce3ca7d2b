//! Reads an inbox, and deletes messages that its device has received.

use database::{Position, Read, Stamp, StoreError, Txn, UserNumber};

use super::tables::{
    DROPPED_MESSAGES, INBOX, INBOX_SIZES, InboxSize, SENT_MESSAGES, SENT_MESSAGES_LOG,
};
use crate::handle::Devices;

/// Messages deleted in one commit.
const CHUNK: usize = 256;

/// The first messages of a device after a position, or from the start: complete events as JSON.
pub async fn since(
    db: &impl Read,
    user: UserNumber,
    device: &str,
    after: Option<Position>,
    limit: usize,
) -> Result<Vec<(Position, String)>, StoreError> {
    let rows = INBOX.under((user, device));
    let rows = match after {
        Some(after) => rows.after((user, device, after)),
        None => rows,
    };
    let page = db.page(rows, limit).await?;
    Ok(page
        .into_iter()
        .map(|((_, _, position), event)| (position, event))
        .collect())
}

impl Devices {
    /// Deletes the messages up to this position, which the device has received. The deletion is
    /// durable before this returns, so they are never sent again. `is_unchanged` as in
    /// [`Devices::state`]: if nothing is pending, the database is not read.
    pub async fn acknowledge(
        &self,
        db: &impl Read,
        user: UserNumber,
        device: &str,
        up_to: Position,
        is_unchanged: impl Fn(Stamp) -> bool + Send,
    ) -> Result<(), StoreError> {
        let state = self.state(db, user, device, is_unchanged).await?;
        if state.oldest_message.is_none_or(|oldest| oldest > up_to) {
            return Ok(());
        }
        loop {
            let body = move |txn: Txn| async move {
                let received = INBOX.under((user, device)).through((user, device, up_to));
                let received = txn.page(received, CHUNK).await?;
                let mut bytes = 0;
                let size = txn.get(INBOX_SIZES.at((user, device))).await?;
                let mut counted = size;
                for ((_, _, position), event) in &received {
                    txn.delete(INBOX.at((user, device, *position)));
                    bytes += event.len() as u64;
                    if let Some(size) = &mut counted {
                        size.remove(*position, event);
                    }
                }
                if let Some(counted) = counted.filter(|counted| Some(*counted) != size) {
                    txn.put(INBOX_SIZES.at((user, device)), &counted);
                }
                Ok::<_, StoreError>((received.len(), bytes))
            };
            let ((count, bytes), _) = self.0.store.transact(body).await?;
            self.0.tallies.subtract(user, device, count as u64, bytes);
            if count < CHUNK {
                break;
            }
        }
        self.0.states.remove(user, device);
        Ok(())
    }
}

impl InboxSize {
    /// Takes a message that is deleted out of the size, if it was counted.
    pub(super) fn remove(&mut self, position: Position, event: &str) {
        if position <= self.through {
            self.messages = self.messages.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(event.len() as u64);
        }
    }
}

/// Deletes the inbox of a device, and its stored transaction ids.
pub(crate) async fn forget_device(
    txn: &Txn,
    user: UserNumber,
    device: &str,
) -> Result<(), StoreError> {
    if !txn.page(INBOX.under((user, device)), 1).await?.is_empty() {
        txn.clear(INBOX.under((user, device)));
    }
    if !txn
        .page(SENT_MESSAGES_LOG.under((user, device)), 1)
        .await?
        .is_empty()
    {
        txn.clear(SENT_MESSAGES.under((user, device)));
        txn.clear(SENT_MESSAGES_LOG.under((user, device)));
    }
    txn.delete(DROPPED_MESSAGES.at((user, device)));
    txn.delete(INBOX_SIZES.at((user, device)));
    Ok(())
}

pub(crate) fn forget_all_devices(txn: &Txn, user: UserNumber) {
    txn.clear(INBOX.under(user));
    txn.clear(SENT_MESSAGES.under(user));
    txn.clear(SENT_MESSAGES_LOG.under(user));
    txn.clear(DROPPED_MESSAGES.under(user));
    txn.clear(INBOX_SIZES.under(user));
}
