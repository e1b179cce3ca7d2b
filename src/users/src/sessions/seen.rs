//! When and from where a device was last used: recorded at most every ten minutes, in the
//! background, in batches.

use std::{
    collections::HashMap,
    fmt::Display,
    sync::{PoisonError, atomic::Ordering},
};

use database::{StoreError, Txn, UserNumber};
use devices::LastSeen;

use crate::{sessions::Authenticated, users::Users};

/// The maximum age of the recorded time, in milliseconds.
const EVERY: u64 = 10 * 60 * 1000;
/// Devices that can wait to be recorded. Beyond that, the next use is recorded, ten minutes later.
const BACKLOG: usize = 10_000;

/// Uses of devices that are not recorded yet.
#[derive(Default)]
pub(crate) struct SeenBacklog {
    waiting: HashMap<(UserNumber, String), LastSeen>,
    is_being_written: bool,
}

impl Users {
    /// Records that a device was used. Cheap: usually one comparison.
    pub fn seen(&self, caller: &Authenticated, ip: impl Display) {
        let now = self.0.clock.now().0;
        let before = caller.seen.load(Ordering::Relaxed);
        if now.saturating_sub(before) < EVERY {
            return;
        }
        let swap = caller
            .seen
            .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed);
        if swap.is_err() {
            return;
        }
        let mut backlog = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if backlog.waiting.len() >= BACKLOG {
            return;
        }
        let key = (caller.number, caller.device_id.to_string());
        backlog.waiting.insert(
            key,
            LastSeen {
                ip: ip.to_string(),
                ts: now,
            },
        );
        if !backlog.is_being_written {
            backlog.is_being_written = true;
            let users = self.clone();
            self.0.tasks.spawn(async move { users.write_seen().await });
        }
    }

    /// Writes until nothing waits. Uses that arrive during a write form the next batch.
    async fn write_seen(&self) {
        loop {
            let batch = {
                let mut backlog = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
                if backlog.waiting.is_empty() {
                    backlog.is_being_written = false;
                    return;
                }
                std::mem::take(&mut backlog.waiting)
            };
            let batch = &batch;
            let body = move |txn: Txn| async move {
                for ((user, device), last_seen) in batch {
                    devices::saw(&txn, *user, device, last_seen).await?;
                }
                txn.may_wait();
                Ok::<_, StoreError>(())
            };
            if let Err(error) = self.0.store.transact(body).await {
                tracing::warn!(%error, devices = batch.len(), "could not record when devices were used");
            }
        }
    }
}
