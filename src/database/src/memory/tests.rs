//! The engine suite on memory, and each of its faults.

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
    let state = read(&memory.inner.state);
    let versions = &state.tables["rows"].values().next().expect("a row");
    assert!(versions.len() <= 3, "{} versions", versions.len());
}

/// A caller that was cancelled after its commit had gone off: it is visible all the same.
#[tokio::test]
async fn a_commit_goes_on_without_its_caller() {
    let memory = Memory::new();
    let store = Store::new(Arc::new(memory.clone()));
    memory.faults().hold();
    memory.faults().keep_abandoned(true);
    assert!(poll_once(put(&store, 1)).await.is_none());
    assert_eq!(get(&store).await, None);
    memory.faults().release();
    assert_eq!(get(&store).await, Some(1));
}

/// Both read the row before either is written.
#[tokio::test]
async fn held_commits_are_one_group_and_conflict_within_it() {
    let memory = Memory::new();
    let store = Store::new(Arc::new(memory.clone()));
    memory.faults().hold();
    let (first, second) = (put(&store, 1), put(&store, 2));
    let release = async {
        assert_eq!(memory.faults().waiting(), 2);
        assert_eq!(get(&store).await, None);
        memory.faults().release();
        // The first is visible, and the second runs its body again on it.
        assert_eq!(get(&store).await, Some(1));
    };
    let (first, second, ()) = tokio::join!(biased; first, second, release);
    assert_eq!(first, Ok(Stamp::START.next()));
    assert_eq!(second, Ok(Stamp::START.next().next()));
    assert_eq!(get(&store).await, Some(2));
}

#[tokio::test]
async fn a_failed_commit_may_be_there_after_a_restart() {
    let memory = Memory::new();
    let store = Store::new(Arc::new(memory.clone()));
    let before = put(&store, 1).await.expect("a commit");
    let failure = StoreError::Unavailable("the sync failed".to_owned());
    memory.faults().fail_but_keep_next(2, &failure);
    assert_eq!(put(&store, 2).await, Err(failure.clone()));
    assert_eq!(put(&store, 3).await, Err(failure.clone()));
    assert_eq!(get(&store).await, Some(1), "it was never visible");

    for (kept, value) in [(0, 1), (1, 2), (2, 3), (5, 3)] {
        let restarted = Store::new(Arc::new(memory.restarted(kept)));
        assert_eq!(get(&restarted).await, Some(value));
        assert!(*restarted.published().borrow() >= before);
        let next = put(&restarted, 9).await.expect("a commit");
        assert_eq!(*restarted.published().borrow(), next);
    }

    // Once it writes again, the failed commits are gone, and so are their stamps.
    let next = put(&store, 4).await.expect("a commit");
    assert_eq!(next, Stamp(before.0 + 3));
    assert_eq!(
        get(&Store::new(Arc::new(memory.restarted(5)))).await,
        Some(4)
    );
}

#[tokio::test]
async fn a_restart_ends_the_old_database() {
    let memory = Memory::new();
    let store = Store::new(Arc::new(memory.clone()));
    put(&store, 1).await.expect("a commit");
    let restarted = Store::new(Arc::new(memory.restarted(0)));
    put(&store, 2).await.expect("a commit");
    assert_eq!(get(&restarted).await, Some(1));
}

async fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        std::task::Poll::Ready(match polled {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        })
    })
    .await
}
