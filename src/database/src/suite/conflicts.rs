//! Commits whose reads no longer hold do not happen: their bodies run again.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::{
    error::StoreError,
    read::Read,
    store::Store,
    suite::{COUNTS, MEMBER_LOG, NAMES, ROOM, Result, WINDOW_BYTES, get_count, write},
    txn::Txn,
};

/// Runs a body that reads with `read`, while `meddle` commits during its first run only. How often
/// it ran.
async fn runs(
    store: &Store,
    read: impl AsyncFn(&Txn) -> Result<()>,
    meddle: impl AsyncFn(&Store),
) -> u32 {
    let runs = AtomicU32::new(0);
    // `transact`, spelled out: its body has to be `Send`, which these closures are not.
    loop {
        let attempt = store.begin();
        read(&attempt).await.expect("a read");
        if runs.fetch_add(1, Relaxed) == 0 {
            meddle(store).await;
        }
        attempt.put(NAMES.at("result"), &"done".to_owned());
        match store.try_commit(&attempt).await {
            Ok(_) => return runs.load(Relaxed),
            Err(StoreError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub async fn a_changed_row_runs_the_body_again(store: &Store) {
    let read = async |txn: &Txn| txn.get(COUNTS.at(1)).await.map(|_| ());
    let put = async |store: &Store| _ = write(store, |txn| txn.put(COUNTS.at(1), &1)).await;
    let delete = async |store: &Store| _ = write(store, |txn| txn.delete(COUNTS.at(1))).await;
    let other = async |store: &Store| _ = write(store, |txn| txn.put(COUNTS.at(2), &1)).await;
    assert_eq!(runs(store, read, put).await, 2);
    assert_eq!(runs(store, read, delete).await, 2);
    assert_eq!(runs(store, read, other).await, 1);

    let read_many = async |txn: &Txn| {
        txn.get_many(vec![COUNTS.at(5), COUNTS.at(1)])
            .await
            .map(|_| ())
    };
    assert_eq!(runs(store, read_many, put).await, 2);
    let exists = async |txn: &Txn| txn.exists(COUNTS.at(1)).await.map(|_| ());
    assert_eq!(runs(store, exists, delete).await, 2);
}

pub async fn a_new_row_in_a_range_that_was_read_runs_the_body_again(store: &Store) {
    let read = async |txn: &Txn| txn.page(COUNTS.all().before(10), 5).await.map(|_| ());
    let inside = async |store: &Store| _ = write(store, |txn| txn.put(COUNTS.at(9), &1)).await;
    let outside = async |store: &Store| _ = write(store, |txn| txn.put(COUNTS.at(10), &1)).await;
    assert_eq!(runs(store, read, inside).await, 2);
    assert_eq!(runs(store, read, outside).await, 1);
}

pub async fn an_append_to_a_log_that_was_read_runs_the_body_again(store: &Store) {
    let read = async |txn: &Txn| txn.page(MEMBER_LOG.under(ROOM), 5).await.map(|_| ());
    let append = async |store: &Store| {
        write(store, |txn| {
            txn.append(MEMBER_LOG.end(ROOM), txn.slot(), &1);
        })
        .await;
    };
    assert_eq!(runs(store, read, append).await, 2);
}

pub async fn what_lies_beyond_a_full_page_may_change(store: &Store) {
    write(store, |txn| {
        (10..20).for_each(|key| txn.put(COUNTS.at(key), &0));
    })
    .await;
    let forward = async |txn: &Txn| txn.page(COUNTS.all(), 3).await.map(|_| ());
    let backward = async |txn: &Txn| txn.page(COUNTS.all().reversed(), 3).await.map(|_| ());
    let set =
        |key| async move |store: &Store| _ = write(store, |txn| txn.put(COUNTS.at(key), &1)).await;
    assert_eq!(runs(store, forward, set(13)).await, 1);
    assert_eq!(runs(store, forward, set(12)).await, 2);
    assert_eq!(runs(store, backward, set(16)).await, 1);
    assert_eq!(runs(store, backward, set(17)).await, 2);
    assert_eq!(runs(store, backward, set(25)).await, 2);

    // The same with rows of its own in between.
    let merged = async |txn: &Txn| {
        txn.put(COUNTS.at(5), &1);
        txn.page(COUNTS.all(), 3).await.map(|_| ())
    };
    assert_eq!(runs(store, merged, set(12)).await, 1);
    assert_eq!(runs(store, merged, set(11)).await, 2);
}

pub async fn clearing_a_row_that_was_read_runs_the_body_again(store: &Store) {
    write(store, |txn| txn.put(COUNTS.at(1), &1)).await;
    let read = async |txn: &Txn| txn.get(COUNTS.at(1)).await.map(|_| ());
    let clear = async |store: &Store| _ = write(store, |txn| txn.clear(COUNTS.all())).await;
    let elsewhere =
        async |store: &Store| _ = write(store, |txn| txn.clear(COUNTS.all().from(2))).await;
    assert_eq!(runs(store, read, elsewhere).await, 1);
    assert_eq!(runs(store, read, clear).await, 2);
}

pub async fn clearing_a_range_that_was_read_runs_the_body_again(store: &Store) {
    let fill = async || {
        let fill = |txn: &Txn| (0..9).for_each(|key| txn.put(COUNTS.at(key), &1));
        write(store, fill).await;
    };
    fill().await;
    let read = async |txn: &Txn| txn.page(COUNTS.all().before(5), 9).await.map(|_| ());
    let clear = async |store: &Store| _ = write(store, |txn| txn.clear(COUNTS.all())).await;
    let elsewhere =
        async |store: &Store| _ = write(store, |txn| txn.clear(COUNTS.all().from(5))).await;
    assert_eq!(runs(store, read, elsewhere).await, 1);
    fill().await;
    assert_eq!(runs(store, read, clear).await, 2);
}

pub async fn reads_older_than_the_window_run_the_body_again(store: &Store) {
    let read = async |txn: &Txn| txn.get(COUNTS.at(1)).await.map(|_| ());
    let flood = async |store: &Store| {
        let key = "k".repeat(8 << 10);
        for number in 0..=WINDOW_BYTES >> 13 {
            write(store, |txn| {
                txn.put(NAMES.at(&format!("{key}{number}")), &String::new());
            })
            .await;
        }
    };
    assert_eq!(runs(store, read, flood).await, 2);
}

/// Many at once, so that they meet in groups: each takes the next number, none takes one twice.
pub async fn commits_of_one_group_conflict_with_each_other(store: &Store) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let store = store.clone();
        tasks.spawn(async move {
            let take = store.transact(|txn| async move {
                let taken = txn.page(COUNTS.all().reversed(), 1).await?;
                let next = taken.first().map_or(0, |(key, _)| key + 1);
                txn.put(COUNTS.at(next), &next);
                Result::Ok(next)
            });
            take.await.expect("its turn comes").0
        });
    }
    let mut taken = tasks.join_all().await;
    taken.sort_unstable();
    assert_eq!(taken, (0..24).collect::<Vec<_>>());
}

pub async fn concurrent_increments_all_count(store: &Store) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..25 {
                let increment = store.transact(|txn| async move {
                    let count = txn.get(COUNTS.at(1)).await?.unwrap_or(0);
                    txn.put(COUNTS.at(1), &(count + 1));
                    Result::Ok(())
                });
                increment.await.expect("its turn comes");
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(get_count(store, 1).await, Some(200));
}

pub async fn a_body_that_always_loses_is_contended(store: &Store) {
    let runs = &AtomicU32::new(0);
    let loser = store.transact(|txn| async move {
        let count = txn.get(COUNTS.at(1)).await?.unwrap_or(0);
        runs.fetch_add(1, Relaxed);
        write(store, |txn| txn.put(COUNTS.at(1), &(count + 1))).await;
        txn.put(COUNTS.at(2), &count);
        Result::Ok(())
    });
    assert_eq!(loser.await, Err(StoreError::Contended));
    assert_eq!(runs.load(Relaxed), 64);
    assert_eq!(get_count(store, 2).await, None);
}

pub async fn blind_writes_never_conflict(store: &Store) {
    let read_nothing = async |_: &Txn| Ok(());
    let meddle = async |store: &Store| {
        write(store, |txn| {
            txn.put(NAMES.at("result"), &"other".to_owned());
        })
        .await;
    };
    assert_eq!(runs(store, read_nothing, meddle).await, 1);
}
