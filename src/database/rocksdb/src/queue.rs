//! The commits that wait for the committer: bounded in bytes (and so in count), drained all at once.

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

/// How long commits that may wait do wait for others to share a sync with.
const RIDE: Duration = Duration::from_millis(100);

pub(crate) struct Pending {
    pub(crate) commit: Commit,
    pub(crate) answer: oneshot::Sender<Result<Stamp, StoreError>>,
    /// Its share of the bound, to be held until it is answered.
    pub(crate) room: OwnedSemaphorePermit,
}

/// What the committer does next.
pub(crate) enum Next {
    Group(VecDeque<Pending>),
    Idle,
    /// Closed, and nothing waits.
    Closed,
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
    /// of it. If the caller stops waiting, the commit either never begins or is made in full.
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

    /// All that waits, as soon as something cannot wait longer; `Idle` if nothing came within
    /// `patience`, which is endless where it is `None`.
    pub(crate) fn next_group(&self, patience: Option<Duration>) -> Next {
        let idle = |waiting: &mut Waiting| waiting.commits.is_empty() && !waiting.is_closed;
        let waiting = match patience {
            None => {
                let waiting = self.changed.wait_while(self.lock(), idle);
                waiting.unwrap_or_else(PoisonError::into_inner)
            }
            Some(patience) => {
                let waiting = self.changed.wait_timeout_while(self.lock(), patience, idle);
                let (waiting, timeout) = waiting.unwrap_or_else(PoisonError::into_inner);
                if timeout.timed_out() {
                    return Next::Idle;
                }
                waiting
            }
        };
        let calm = |waiting: &mut Waiting| !waiting.is_urgent && !waiting.is_closed;
        let waiting = self.changed.wait_timeout_while(waiting, RIDE, calm);
        let (mut waiting, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        if waiting.commits.is_empty() {
            return Next::Closed;
        }
        waiting.is_urgent = false;
        Next::Group(std::mem::take(&mut waiting.commits))
    }

    /// No more commits; what waits is still taken.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.room.close();
        self.changed.notify_all();
    }

    /// Nobody takes them any more: all callers get an error.
    pub(crate) fn abandon(&self) {
        self.close();
        self.lock().commits.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
