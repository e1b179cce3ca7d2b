//! Servers that do not answer: when each is tried next. On disk, so that a restart does not try them all at once.

use std::{sync::Arc, time::Duration};

use database::{Clock, Millis, Random, Read as _, Store, StoreError, Txn};
use quick_cache::sync::Cache;
use ruma::ServerName;

use crate::tables::{UNREACHABLE_SERVERS, UnreachableRow};

/// The greatest delay before the second attempt; doubled with each further one.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_hours(1);
const SHORTEST: Duration = Duration::from_secs(1);
/// A server that did not answer for so long is tried once a day.
const GIVEN_UP: Duration = Duration::from_hours(14 * 24);
const DAILY: Duration = Duration::from_hours(24);
/// Servers whose state is in memory, each in at most 350 bytes.
const REMEMBERED: usize = 16_384;

/// A handle on the state of all servers. Cheap to clone.
#[derive(Clone)]
pub struct Backoff(Arc<Parts>);

struct Parts {
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    /// What the table holds, absence included. Replaced by each commit.
    remembered: Cache<String, Option<UnreachableRow>>,
}

impl Backoff {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self(Arc::new(Parts {
            store,
            clock,
            random,
            remembered: Cache::new(REMEMBERED),
        }))
    }

    /// When a server may be tried again; `None` where it may be tried now.
    pub async fn retry_at(&self, server: &ServerName) -> Result<Option<Millis>, StoreError> {
        let row = self.state(server).await?;
        let retry_at = row.map(|row| Millis(row.retry_at));
        Ok(retry_at.filter(|retry_at| *retry_at > self.0.clock.now()))
    }

    /// Since when a server does not answer, how often it was tried, and when it is tried next.
    pub async fn state(&self, server: &ServerName) -> Result<Option<UnreachableRow>, StoreError> {
        if let Some(row) = self.0.remembered.get(server.as_str()) {
            return Ok(row);
        }
        let row = self
            .0
            .store
            .snapshot()
            .await?
            .get(UNREACHABLE_SERVERS.at(server.as_str()))
            .await?;
        self.0.remembered.insert(server.as_str().to_owned(), row);
        Ok(row)
    }

    /// Whether memory says that a server does not answer. Needs no look into the database.
    pub(crate) fn is_known_to_fail(&self, server: &ServerName) -> bool {
        self.0
            .remembered
            .peek(server.as_str())
            .is_some_and(|row| row.is_some())
    }

    /// After an attempt that came to nothing. Attempts that ran at the same time count once.
    pub async fn failed(&self, server: &ServerName) -> Result<(), StoreError> {
        let (now, drawn) = (self.0.clock.now(), self.0.random.u64());
        let body = |txn: Txn| async move {
            let row = UNREACHABLE_SERVERS.at(server.as_str());
            let held = txn.get(row.clone()).await?;
            if let Some(held) = held.filter(|held| held.retry_at > now.0) {
                return Ok::<_, StoreError>(held);
            }
            let next = after_failure(held, now, drawn);
            txn.put(row, &next);
            txn.may_wait();
            Ok(next)
        };
        let (row, _) = self.0.store.transact(body).await?;
        self.0
            .remembered
            .insert(server.as_str().to_owned(), Some(row));
        Ok(())
    }

    /// After an answer, or a request from the server: it is tried at once.
    pub async fn answered(&self, server: &ServerName) -> Result<(), StoreError> {
        if self.state(server).await?.is_none() {
            return Ok(());
        }
        let body = |txn: Txn| async move {
            txn.delete(UNREACHABLE_SERVERS.at(server.as_str()));
            txn.may_wait();
            Ok::<_, StoreError>(())
        };
        self.0.store.transact(body).await?;
        self.0.remembered.insert(server.as_str().to_owned(), None);
        Ok(())
    }
}

/// Exponential backoff with full jitter.
fn after_failure(held: Option<UnreachableRow>, now: Millis, drawn: u64) -> UnreachableRow {
    let since = held.map_or(now.0, |held| held.since);
    let failures = held.map_or(0, |held| held.failures);
    let jitter = |most: Duration| {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX).max(1);
        Duration::from_millis(drawn % most)
    };
    let delay = if now.since(Millis(since)) >= GIVEN_UP {
        DAILY + jitter(LONGEST)
    } else {
        SHORTEST + jitter(FIRST.saturating_mul(1 << failures.min(16)).min(LONGEST))
    };
    UnreachableRow {
        since,
        failures: failures.saturating_add(1),
        retry_at: now.plus(delay).0,
    }
}

#[cfg(test)]
mod tests {
    use database::{MockClock, SeededRandom};
    use ruma::server_name;

    use super::*;

    fn backoff(store: &Store, clock: &Arc<MockClock>) -> Backoff {
        Backoff::new(store.clone(), clock.clone(), Arc::new(SeededRandom::new(1)))
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_tried_ever_more_rarely() {
        let (store, clock) = (Store::memory(), Arc::new(MockClock::default()));
        let backoff = backoff(&store, &clock);
        let server = server_name!("a.example");
        let mut most = FIRST;
        for failures in 1..30 {
            assert_eq!(backoff.retry_at(server).await, Ok(None));
            backoff.failed(server).await.expect("memory does not fail");
            backoff
                .failed(server)
                .await
                .expect("at the same time: it counts once");
            let state = backoff.state(server).await.expect("a read").expect("a row");
            assert_eq!(state.failures, failures);
            let delay = Millis(state.retry_at).since(clock.now());
            assert!(delay >= SHORTEST && delay <= SHORTEST + most, "{delay:?}");
            most = (most * 2).min(LONGEST);
            clock.advance(delay);
        }
        clock.advance(GIVEN_UP);
        backoff.failed(server).await.expect("memory does not fail");
        let state = backoff.state(server).await.expect("a read").expect("a row");
        assert!(Millis(state.retry_at).since(clock.now()) >= DAILY);
    }

    #[tokio::test]
    async fn the_next_attempt_outlives_a_restart_and_ends_with_an_answer() {
        let (store, clock) = (Store::memory(), Arc::new(MockClock::default()));
        let server = server_name!("a.example");
        let before = backoff(&store, &clock);
        before.failed(server).await.expect("memory does not fail");
        let retry_at = before.retry_at(server).await.expect("a read");
        assert!(retry_at.is_some());

        let after = backoff(&store, &clock);
        assert_eq!(after.retry_at(server).await, Ok(retry_at));
        after.answered(server).await.expect("memory does not fail");
        assert_eq!(after.retry_at(server).await, Ok(None));
        assert_eq!(backoff(&store, &clock).retry_at(server).await, Ok(None));
    }
}
