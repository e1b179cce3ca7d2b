//! What waits for the committer: bounded in bytes (and so in count), drained all at once.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use database::{
    Stamp, StoreError,
    engine::{Commit, Durability},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::error::unavailable;

/// How long what may wait does wait for others to ride with.
const RIDE: Duration = Duration::from_millis(100);

pub(crate) struct Pending {
    pub(crate) commit: Commit,
    pub(crate) answer: oneshot::Sender<Result<Stamp, StoreError>>,
    /// Its share of the bound, to be held until it is answered.
    pub(crate) room: OwnedSemaphorePermit,
}

pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    room: Arc<Semaphore>,
    capacity: usize,
}

#[derive(Default)]
struct Waiting {
    commits: VecDeque<Pending>,
    /// Whether one of them cannot wait.
    is_urgent: bool,
    is_closed: bool,
}

impl Queue {
    pub(crate) fn new(bytes: usize) -> Self {
        let capacity = bytes.clamp(4096, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            room: Arc::new(Semaphore::new(capacity)),
            capacity,
        }
    }

    /// Waits for room, and then for the answer. A commit greater than the whole queue takes all
    /// of it. Whoever stops waiting has either not been heard, or is committed in full.
    pub(crate) async fn commit(&self, commit: Commit) -> Result<Stamp, StoreError> {
        let weight = commit.weight().min(self.capacity);
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let stopped = |_| unavailable("the committer has stopped");
        let room = self
            .room
            .clone()
            .acquire_many_owned(weight)
            .await
            .map_err(stopped)?;
        let (answer, answered) = oneshot::channel();
        self.push(Pending {
            commit,
            answer,
            room,
        })?;
        answered
            .await
            .map_err(|_| unavailable("the committer has stopped"))?
    }

    fn push(&self, pending: Pending) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.is_closed {
            return Err(unavailable("the database is closed"));
        }
        let was_empty = waiting.commits.is_empty();
        let was_urgent = waiting.is_urgent;
        waiting.is_urgent |= pending.commit.durability == Durability::Now;
        waiting.commits.push_back(pending);
        if was_empty || was_urgent != waiting.is_urgent {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// All that waits, as soon as something cannot wait longer; `None` when closed and empty.
    pub(crate) fn next_group(&self) -> Option<VecDeque<Pending>> {
        let idle = |waiting: &mut Waiting| waiting.commits.is_empty() && !waiting.is_closed;
        let waiting = self.changed.wait_while(self.lock(), idle);
        let waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        let calm = |waiting: &mut Waiting| !waiting.is_urgent && !waiting.is_closed;
        let waiting = self.changed.wait_timeout_while(waiting, RIDE, calm);
        let (mut waiting, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        if waiting.commits.is_empty() {
            return None;
        }
        waiting.is_urgent = false;
        Some(std::mem::take(&mut waiting.commits))
    }

    /// No more commits; what waits is still taken.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.room.close();
        self.changed.notify_all();
    }

    /// Nobody takes them any more: all who wait are told.
    pub(crate) fn abandon(&self) {
        self.close();
        self.lock().commits.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
