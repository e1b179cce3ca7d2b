//! Simulations on the fault engine: each fault happens, and what was acknowledged stays.

use std::collections::BTreeMap;

use super::*;
use crate::{Read, Stamp, Store, StoreError, Table, engine_suite};

static ROWS: Table<u64, u64> = Table::new("rows");

struct Fixture {
    store: Store,
}

/// Slow and cold, with groups: an engine like any other.
fn slow() -> Fixture {
    let plan = FaultPlan {
        delay: 3,
        cold_reads: 300,
        ..FaultPlan::NONE
    };
    let engine = FaultEngine::new(1, plan);
    // Without faults the window does not have to be the suite's: `reads_older_than_the_window` is
    // left to the memory engine.
    Fixture {
        store: engine.store(),
    }
}

engine_suite! { slow;
    conflicts::a_changed_row_runs_the_body_again,
    conflicts::a_new_row_in_a_range_that_was_read_runs_the_body_again,
    conflicts::commits_of_one_group_conflict_with_each_other,
    conflicts::concurrent_increments_all_count,
    followers::a_follower_waits_and_resumes_at_its_cursor,
    numbers::one_string_has_one_number_whoever_interns_it,
    reading::pages_go_both_ways_from_a_position,
    reading::a_snapshot_does_not_change,
    writing::a_clear_meets_what_others_put_at_the_same_time,
    writing::a_body_pages_through_its_own_writes,
    writing::a_commit_is_visible_when_it_is_answered,
}

/// What a run saw.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Key and value of each acknowledged put.
    acknowledged: BTreeMap<u64, u64>,
    /// Puts without an answer, or with a failure: they may be there or not, whole.
    unsure: BTreeMap<u64, u64>,
    failed: usize,
    last: Stamp,
}

/// Writers put rows of their own, some are cancelled in the middle, then the process is killed.
async fn run(engine: &FaultEngine, round: u64, seen: &mut Seen) {
    let store = engine.store();
    let puts = (0..24_u64).map(|number| {
        let key = round * 1000 + number;
        let store = store.clone();
        let put = async move {
            let put = store.transact(|txn| async move {
                txn.get(ROWS.at(key)).await?;
                txn.put(ROWS.at(key), &round);
                Ok::<_, StoreError>(())
            });
            put.await.map(|((), stamp)| stamp)
        };
        (key, Box::pin(put))
    });
    let mut running: Vec<_> = puts.collect();
    // In turn, so that everything follows from the seed. Some never get an answer.
    for turn in 0..10 {
        let mut waiting = Vec::new();
        for (key, mut put) in running {
            let answer =
                std::future::poll_fn(|context| std::task::Poll::Ready(put.as_mut().poll(context)));
            match answer.await {
                std::task::Poll::Ready(Ok(stamp)) => {
                    seen.acknowledged.insert(key, round);
                    seen.last = seen.last.max(stamp);
                }
                std::task::Poll::Ready(Err(_)) => {
                    seen.failed += 1;
                    seen.unsure.insert(key, round);
                }
                std::task::Poll::Pending if turn == 4 && key % 5 == 0 => {
                    seen.unsure.insert(key, round);
                }
                std::task::Poll::Pending => waiting.push((key, put)),
            }
        }
        running = waiting;
        tokio::task::yield_now().await;
    }
    let without_answer = running.into_iter().map(|(key, _)| (key, round));
    seen.unsure.extend(without_answer);
}

async fn rows(store: &Store) -> BTreeMap<u64, u64> {
    let db = store.snapshot().await.expect("a snapshot");
    let rows = db.page(ROWS.all(), usize::MAX).await;
    rows.expect("there are no faults").into_iter().collect()
}

async fn simulate(seed: u64) -> (Seen, BTreeMap<u64, u64>) {
    let mut seen = Seen::default();
    let mut engine = FaultEngine::new(seed, FaultPlan::SOME);
    for round in 1..=5 {
        run(&engine, round, &mut seen).await;
        let old = engine.store();
        engine = engine.crash();
        assert!(*engine.store().published().borrow() >= seen.last);
        let write = old.transact(|txn| async move {
            txn.put(ROWS.at(0), &0);
            Ok::<_, StoreError>(())
        });
        assert!(write.await.is_err(), "a dead process commits nothing");
    }
    engine.heal();
    let found = rows(&engine.store()).await;
    (seen, found)
}

#[tokio::test]
async fn what_was_acknowledged_survives_crashes_and_faults() {
    let (mut failed, mut kept, mut lost) = (0, 0, 0);
    for seed in 0..200 {
        let (seen, found) = simulate(seed).await;
        for (key, value) in &seen.acknowledged {
            assert_eq!(found.get(key), Some(value), "seed {seed}: row {key}");
        }
        for (key, value) in &found {
            let is_known = seen.acknowledged.contains_key(key) || seen.unsure.contains_key(key);
            assert!(is_known && *value == key / 1000, "seed {seed}: row {key}");
        }
        failed += seen.failed;
        let survivors = seen
            .unsure
            .keys()
            .filter(|key| found.contains_key(key))
            .count();
        kept += survivors;
        lost += seen.unsure.len() - survivors;
    }
    assert!(failed > 100, "{failed} commits failed");
    assert!(
        kept > 100 && lost > 100,
        "of the others {kept} were there, {lost} not"
    );
}

#[tokio::test]
async fn a_seed_repeats_exactly() {
    for seed in 0..10 {
        assert_eq!(simulate(seed).await, simulate(seed).await, "seed {seed}");
    }
    assert_ne!(simulate(1).await, simulate(2).await);
}

#[tokio::test]
async fn reads_fail_and_recover() {
    let plan = FaultPlan {
        read_errors: 1000,
        cold_reads: 1000,
        ..FaultPlan::NONE
    };
    let engine = FaultEngine::new(1, plan);
    let db = engine.store().snapshot().await.expect("a snapshot");
    assert!(matches!(
        db.get(ROWS.at(1)).await,
        Err(StoreError::Unavailable(_))
    ));
    assert!(db.page(ROWS.all(), 10).await.is_err());
    engine.heal();
    assert_eq!(db.get(ROWS.at(1)).await, Ok(None));
}
