//! The engine in memory: the model that every other engine is tested against, and what the tests
//! of the domain run on. Rows keep a version for each commit that somebody may still be reading.
//!
//! It behaves as the engine on a disk does where the domain can tell the difference: commits that
//! meet are written as one group and may conflict within it, a commit goes on without its caller,
//! and one that failed may be there after a restart. [`Faults`] brings each of these about.

mod faults;
#[cfg(test)]
mod tests;
mod view;

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::{oneshot, watch};

pub use self::faults::Faults;
use self::{faults::Fault, view::MemoryView};
use crate::{
    engine::{BoxFuture, Commit, Engine, Raw, Span, View},
    error::{Result, StoreError},
    recent::Recent,
    stamp::Stamp,
};

/// A database in memory. Clones share it: a test that "restarts" builds its parts again on a
/// clone, or on [`Memory::restarted`] where commits have failed.
#[derive(Clone)]
pub struct Memory {
    inner: Arc<Inner>,
}

struct Inner {
    state: RwLock<State>,
    queue: Mutex<Queue>,
    faults: Mutex<VecDeque<Fault>>,
    cold: watch::Sender<bool>,
    published: watch::Sender<Stamp>,
    /// How many views of each stamp are alive.
    readers: Mutex<BTreeMap<Stamp, usize>>,
    window: usize,
}

/// Commits that are not written yet.
#[derive(Default)]
struct Queue {
    waiting: Vec<Pending>,
    /// While true, they stay here.
    is_held: bool,
    /// Whether commits whose callers are gone are written.
    keeps_abandoned: bool,
}

struct Pending {
    commit: Commit,
    answer: oneshot::Sender<Result<Stamp>>,
}

type Value = Option<Arc<[u8]>>;

/// Versions of one row, oldest first; no value is a deletion.
type Versions = Vec<(Stamp, Value)>;

struct State {
    /// The last commit that is visible.
    stamp: Stamp,
    /// The last stamp that was taken, also by a commit that failed.
    taken: Stamp,
    tables: BTreeMap<&'static str, BTreeMap<Raw, Versions>>,
    recent: Recent,
    /// Commits that were answered as failures and may be there after a restart, oldest first. The
    /// next success ends that: an engine that writes again has cut them off.
    unsure: Vec<(Stamp, Commit)>,
}

impl Memory {
    pub fn new() -> Self {
        Self::with_window(16 << 20)
    }

    /// Remembers at most this many bytes of written keys for finding conflicts.
    pub fn with_window(bytes: usize) -> Self {
        Self::from_tables(Stamp::START, BTreeMap::new(), bytes)
    }

    fn from_tables(
        stamp: Stamp,
        tables: BTreeMap<&'static str, BTreeMap<Raw, Versions>>,
        window: usize,
    ) -> Self {
        let state = State {
            stamp,
            taken: stamp,
            tables,
            recent: Recent::new(stamp, window),
            unsure: Vec::new(),
        };
        let inner = Inner {
            state: RwLock::new(state),
            queue: Mutex::default(),
            faults: Mutex::default(),
            cold: watch::Sender::new(false),
            published: watch::Sender::new(stamp),
            readers: Mutex::default(),
            window,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    pub fn faults(&self) -> Faults {
        Faults {
            inner: self.inner.clone(),
        }
    }

    /// The database as the next process finds it, with at most `unsure` of the commits that failed
    /// and were kept by [`Faults::fail_but_keep_next`]. This one goes on as it is, without effect
    /// on the new one: what waits in it is lost.
    #[must_use]
    pub fn restarted(&self, unsure: usize) -> Self {
        let state = read(&self.inner.state);
        let mut tables = BTreeMap::new();
        for (table, rows) in &state.tables {
            let live = rows.iter().filter_map(|(key, versions)| {
                let value = as_of(versions, state.stamp)?;
                Some((key.clone(), vec![(state.stamp, Some(value.clone()))]))
            });
            tables.insert(*table, live.collect());
        }
        let restarted = Self::from_tables(state.stamp, tables, self.inner.window);
        for (stamp, commit) in state.unsure.iter().take(unsure) {
            let mut new = write(&restarted.inner.state);
            new.apply(*stamp, commit.clone(), *stamp);
            new.stamp = *stamp;
            new.taken = *stamp;
            restarted.inner.published.send_replace(*stamp);
        }
        let mut new = write(&restarted.inner.state);
        new.recent = Recent::new(new.stamp, self.inner.window);
        drop(new);
        restarted
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Inner {
    /// Writes all that waits as one group: it becomes visible at once, and then all are answered.
    fn commit_waiting(&self) {
        let mut state = write(&self.state);
        let (waiting, keeps_abandoned) = {
            let mut queue = lock(&self.queue);
            (mem::take(&mut queue.waiting), queue.keeps_abandoned)
        };
        let oldest = lock(&self.readers).keys().next().copied();
        let oldest = oldest.map_or(state.stamp, |oldest| oldest.min(state.stamp));
        let mut answers = Vec::with_capacity(waiting.len());
        let mut last = None;
        for Pending { commit, answer } in waiting {
            if answer.is_closed() && !keeps_abandoned {
                continue;
            }
            let result = self.try_commit(&mut state, commit, oldest);
            last = result.as_ref().ok().copied().or(last);
            answers.push((answer, result));
        }
        if let Some(last) = last {
            state.stamp = last;
            self.published.send_replace(last);
        }
        drop(state);
        // A loser reads again before a winner might come back and win again.
        answers.sort_by_key(|(_, result)| result.is_ok());
        for (answer, result) in answers {
            let _ = answer.send(result);
        }
    }

    fn try_commit(&self, state: &mut State, commit: Commit, oldest: Stamp) -> Result<Stamp> {
        let fault = lock(&self.faults).pop_front();
        if let Some(Fault::Lost(error)) = fault {
            return Err(error);
        }
        if state.recent.conflicts_with(&commit) {
            return Err(StoreError::Conflict);
        }
        let stamp = state.taken.next();
        state.taken = stamp;
        if let Some(Fault::Kept(error)) = fault {
            state.unsure.push((stamp, commit));
            return Err(error);
        }
        state.unsure.clear();
        state.apply(stamp, commit, oldest);
        Ok(stamp)
    }
}

impl State {
    fn apply(&mut self, stamp: Stamp, commit: Commit, oldest: Stamp) {
        for span in &commit.clears {
            self.clear(span, stamp, oldest);
        }
        let mut keys = Vec::with_capacity(commit.writes.len());
        for write in commit.writes {
            let (at, value) = write.finish(stamp);
            let rows = self.tables.entry(at.table).or_default();
            let versions = rows.entry(at.key.clone()).or_default();
            set(versions, stamp, value.map(Arc::from), oldest);
            keys.push(at);
        }
        self.recent.remember(stamp, keys, commit.clears);
    }

    fn clear(&mut self, span: &Span, stamp: Stamp, oldest: Stamp) {
        let Some(rows) = self.tables.get_mut(span.table).filter(|_| !span.is_empty()) else {
            return;
        };
        for (_, versions) in rows.range_mut::<[u8], _>(span.bounds()) {
            set(versions, stamp, None, oldest);
        }
    }
}

/// Adds a version and drops those that no reader can reach.
fn set(versions: &mut Versions, stamp: Stamp, value: Value, oldest: Stamp) {
    let reachable = versions
        .iter()
        .rposition(|(at, _)| *at <= oldest)
        .unwrap_or(0);
    versions.drain(..reachable);
    match versions.last_mut().filter(|(at, _)| *at == stamp) {
        Some(last) => last.1 = value,
        None => versions.push((stamp, value)),
    }
}

fn as_of(versions: &Versions, stamp: Stamp) -> Option<&Arc<[u8]>> {
    versions
        .iter()
        .rev()
        .find(|(at, _)| *at <= stamp)?
        .1
        .as_ref()
}

impl Engine for Memory {
    fn snapshot(&self) -> Arc<dyn View> {
        let state = read(&self.inner.state);
        Arc::new(MemoryView::new(state.stamp, self.inner.clone()))
    }

    /// In the queue when it is first polled; from then on it goes its way without its caller.
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Stamp>> {
        Box::pin(async move {
            let (answer, answered) = oneshot::channel();
            let is_held = {
                let mut queue = lock(&self.inner.queue);
                queue.waiting.push(Pending { commit, answer });
                queue.is_held
            };
            if !is_held {
                self.inner.commit_waiting();
            }
            let gone = |_| StoreError::Unavailable("the commit was lost".to_owned());
            answered.await.map_err(gone)?
        })
    }

    fn published(&self) -> watch::Receiver<Stamp> {
        self.inner.published.subscribe()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
