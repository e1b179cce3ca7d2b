//! The engine in memory: the model that every other engine is tested against, and what the tests
//! of the domain run on. Rows keep a version for each commit that somebody may still be reading.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
};

use tokio::sync::watch;

use crate::{
    engine::{BoxFuture, Commit, Engine, Now, Order, Raw, Scan, Span, View},
    error::{Result, StoreError},
    recent::Recent,
    stamp::Stamp,
};

/// A database in memory. Clones share it: a test that "restarts" builds its parts anew on a clone.
#[derive(Clone)]
pub struct Memory {
    inner: Arc<Inner>,
}

/// What shall go wrong with a [`Memory`]; shared with it.
#[derive(Clone)]
pub struct Faults {
    inner: Arc<Inner>,
}

struct Inner {
    state: RwLock<State>,
    faults: Mutex<VecDeque<StoreError>>,
    /// Commits wait while this is true, so that nothing new becomes visible.
    held: watch::Sender<bool>,
    cold: watch::Sender<bool>,
    published: watch::Sender<Stamp>,
    /// How many views of each stamp are alive.
    readers: Mutex<BTreeMap<Stamp, usize>>,
}

type Value = Option<Arc<[u8]>>;

/// Versions of one row, oldest first; no value is a deletion.
type Versions = Vec<(Stamp, Value)>;

struct State {
    stamp: Stamp,
    tables: BTreeMap<&'static str, BTreeMap<Raw, Versions>>,
    recent: Recent,
}

struct MemoryView {
    stamp: Stamp,
    inner: Arc<Inner>,
}

impl Memory {
    pub fn new() -> Self {
        Self::with_window(16 << 20)
    }

    /// Remembers at most this many bytes of written keys for finding conflicts.
    pub fn with_window(bytes: usize) -> Self {
        let state = State {
            stamp: Stamp::START,
            tables: BTreeMap::new(),
            recent: Recent::new(Stamp::START, bytes),
        };
        let inner = Inner {
            state: RwLock::new(state),
            faults: Mutex::default(),
            held: watch::Sender::new(false),
            cold: watch::Sender::new(false),
            published: watch::Sender::new(Stamp::START),
            readers: Mutex::default(),
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
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Faults {
    /// The next `count` commits fail with this error, once each; adds to what is to fail already.
    pub fn fail_next(&self, count: usize, error: &StoreError) {
        lock(&self.inner.faults).extend(std::iter::repeat_n(error.clone(), count));
    }

    /// From now on commits wait, and nothing new becomes visible, until [`Faults::release`].
    pub fn hold(&self) {
        self.inner.held.send_replace(true);
    }

    pub fn release(&self) {
        self.inner.held.send_replace(false);
    }

    /// Whether reads behave as if nothing were cached.
    pub fn set_cold(&self, is_cold: bool) {
        self.inner.cold.send_replace(is_cold);
    }
}

impl Inner {
    fn apply(&self, commit: Commit) -> Result<Stamp> {
        if let Some(error) = lock(&self.faults).pop_front() {
            return Err(error);
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.recent.conflicts_with(&commit) {
            return Err(StoreError::Conflict);
        }
        let stamp = state.stamp.next();
        let oldest = lock(&self.readers)
            .keys()
            .next()
            .map_or(stamp, |oldest| *oldest);
        for span in &commit.clears {
            state.clear(span, stamp, oldest);
        }
        let mut keys = Vec::with_capacity(commit.writes.len());
        for write in commit.writes {
            let (at, value) = write.finish(stamp);
            let rows = state.tables.entry(at.table).or_default();
            let versions = rows.entry(at.key.clone()).or_default();
            set(versions, stamp, value.map(Arc::from), oldest);
            keys.push(at);
        }
        state.recent.remember(stamp, keys, commit.clears);
        state.stamp = stamp;
        self.published.send_replace(stamp);
        Ok(stamp)
    }
}

impl State {
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
        let state = self
            .inner
            .state
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let stamp = state.stamp;
        *lock(&self.inner.readers).entry(stamp).or_default() += 1;
        Arc::new(MemoryView {
            stamp,
            inner: self.inner.clone(),
        })
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Stamp>> {
        Box::pin(async move {
            let mut held = self.inner.held.subscribe();
            let _ = held.wait_for(|is_held| !is_held).await;
            self.inner.apply(commit)
        })
    }

    fn published(&self) -> watch::Receiver<Stamp> {
        self.inner.published.subscribe()
    }
}

impl Drop for MemoryView {
    fn drop(&mut self) {
        let mut readers = lock(&self.inner.readers);
        if let Some(count) = readers.get_mut(&self.stamp) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.stamp);
            }
        }
    }
}

impl MemoryView {
    fn is_cold(&self) -> bool {
        *self.inner.cold.borrow()
    }

    fn visit(&self, span: &Span, order: Order, limit: usize, row: &mut dyn FnMut(&[u8], &[u8])) {
        let state = self
            .inner
            .state
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(rows) = state.tables.get(span.table).filter(|_| !span.is_empty()) else {
            return;
        };
        let rows = rows.range::<[u8], _>(span.bounds());
        let live = |(key, versions)| as_of(versions, self.stamp).map(|value| (key, value));
        let visit = |(key, value): (&Raw, &Arc<[u8]>)| row(key, value);
        match order {
            Order::Forward => rows.filter_map(live).take(limit).for_each(visit),
            Order::Backward => rows.rev().filter_map(live).take(limit).for_each(visit),
        }
    }

    fn value(&self, table: &str, key: &[u8]) -> Option<Arc<[u8]>> {
        let state = self
            .inner
            .state
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        as_of(state.tables.get(table)?.get(key)?, self.stamp).cloned()
    }
}

impl View for MemoryView {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn get_now(
        &self,
        table: &'static str,
        key: &[u8],
        found: &mut dyn FnMut(&[u8]),
    ) -> Result<Now> {
        if self.is_cold() {
            return Ok(Now::Cold);
        }
        let Some(value) = self.value(table, key) else {
            return Ok(Now::Absent);
        };
        found(&value);
        Ok(Now::Found)
    }

    fn get<'a>(
        &'a self,
        table: &'static str,
        keys: &'a [Raw],
    ) -> BoxFuture<'a, Result<Vec<Option<Raw>>>> {
        Box::pin(async move {
            let values = keys.iter().map(|key| self.value(table, key));
            Ok(values
                .map(|value| value.map(|value| value.to_vec()))
                .collect())
        })
    }

    fn scan_now(
        &self,
        span: &Span,
        order: Order,
        limit: usize,
        row: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Scan> {
        if !self.is_cold() {
            self.visit(span, order, limit, row);
            return Ok(Scan::Done);
        }
        // One row is in the cache, the next is not.
        let mut last = None;
        self.visit(span, order, limit.min(1), &mut |key, value| {
            last = Some(key.to_vec());
            row(key, value);
        });
        Ok(if limit > 1 {
            Scan::Cold(last)
        } else {
            Scan::Done
        })
    }

    fn scan<'a>(
        &'a self,
        span: &'a Span,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(Raw, Raw)>>> {
        Box::pin(async move {
            let mut rows = Vec::new();
            self.visit(span, order, limit, &mut |key, value| {
                rows.push((key.to_vec(), value.to_vec()));
            });
            Ok(rows)
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Read, Store, Table, engine_suite, suite::WINDOW_BYTES};

    static ROWS: Table<u64, u64> = Table::new("rows");

    struct Fixture {
        store: Store,
    }

    fn warm() -> Fixture {
        Fixture {
            store: Store::new(Arc::new(Memory::with_window(WINDOW_BYTES))),
        }
    }

    engine_suite!(warm);

    /// The suite again, with nothing in the cache.
    mod cold {
        use super::*;

        fn cold() -> Fixture {
            let memory = Memory::with_window(WINDOW_BYTES);
            memory.faults().set_cold(true);
            Fixture {
                store: Store::new(Arc::new(memory)),
            }
        }

        engine_suite!(cold);
    }

    async fn put(store: &Store, value: u64) -> Result<Stamp> {
        let put = store.transact(|txn| async move {
            txn.get(ROWS.at(1)).await?;
            txn.put(ROWS.at(1), &value);
            Ok(())
        });
        put.await.map(|((), stamp)| stamp)
    }

    async fn get(store: &Store) -> Option<u64> {
        store
            .snapshot()
            .await
            .expect("a snapshot")
            .get(ROWS.at(1))
            .await
            .expect("a read")
    }

    #[tokio::test]
    async fn injected_conflicts_run_the_body_again() {
        let memory = Memory::new();
        let store = Store::new(Arc::new(memory.clone()));
        memory.faults().fail_next(63, &StoreError::Conflict);
        assert!(put(&store, 1).await.is_ok());
        memory.faults().fail_next(64, &StoreError::Conflict);
        assert_eq!(put(&store, 2).await, Err(StoreError::Contended));
        assert_eq!(get(&store).await, Some(1));
    }

    #[tokio::test]
    async fn an_injected_failure_leaves_no_trace() {
        let memory = Memory::new();
        let store = Store::new(Arc::new(memory.clone()));
        let failure = StoreError::Unavailable("the disk is full".to_owned());
        memory.faults().fail_next(1, &failure);
        assert_eq!(put(&store, 1).await, Err(failure));
        assert_eq!(get(&store).await, None);
        assert!(put(&store, 2).await.is_ok());
    }

    #[tokio::test]
    async fn held_commits_are_not_visible_before_they_are_released() {
        let memory = Memory::new();
        let store = Store::new(Arc::new(memory.clone()));
        memory.faults().hold();
        let held = tokio::time::timeout(Duration::from_millis(10), put(&store, 1)).await;
        assert!(held.is_err());
        assert_eq!(get(&store).await, None);
        let release = async { memory.faults().release() };
        let (stamp, ()) = tokio::join!(put(&store, 2), release);
        assert_eq!(stamp, Ok(Stamp::START.next()));
        assert_eq!(get(&store).await, Some(2));
    }

    #[tokio::test]
    async fn a_clone_is_the_same_database() {
        let memory = Memory::new();
        put(&Store::new(Arc::new(memory.clone())), 5)
            .await
            .expect("a commit");
        assert_eq!(get(&Store::new(Arc::new(memory))).await, Some(5));
    }

    #[tokio::test]
    async fn versions_that_nobody_reads_are_dropped() {
        let memory = Memory::new();
        let store = Store::new(Arc::new(memory.clone()));
        for value in 0..100 {
            put(&store, value).await.expect("a commit");
        }
        let state = memory.inner.state.read().expect("not poisoned");
        let versions = &state.tables["rows"].values().next().expect("a row");
        assert!(versions.len() <= 3, "{} versions", versions.len());
    }
}
