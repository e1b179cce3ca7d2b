//! Which commits are on disk, and when.

use std::sync::Arc;

use database::{
    Read, Stamp, StoreError,
    engine::{Address, Commit, Durability, Engine, Write},
    suite::numbers::intern_some,
};

use crate::fixture::{Fixture, ROWS, get, open, put};

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let fixture = Fixture::new();
    let mut last = Stamp::START;
    for key in 0..50 {
        last = put(&fixture.store, key, &format!("value {key}"))
            .await
            .expect("a commit");
    }
    let numbers = intern_some(&fixture.store, &["@a:x", "@b:x"]).await;
    let last_of_all = fixture.store.snapshot().await.expect("a snapshot").stamp();
    assert!(last_of_all > last);
    let folder = fixture.close();

    let engine = open(&folder.path().join("db"));
    let store = engine.store();
    assert_eq!(*store.published().borrow(), last_of_all);
    for key in 0..50 {
        assert_eq!(get(&store, key).await, Some(format!("value {key}")));
    }
    assert_eq!(put(&store, 1, "new").await, Ok(last_of_all.next()));
    // Known strings keep their numbers; a new one gets a number of its own, after a gap.
    let again = intern_some(&store, &["@b:x", "@c:x", "@a:x"]).await;
    assert_eq!([again[0], again[2]], [numbers[1], numbers[0]]);
    assert!(!numbers.contains(&again[1]));
}

/// After reopening nothing is cached: every read has to go to the disk, and pages resume there
/// where the cache ends.
#[tokio::test]
async fn cold_rows_are_found_and_paged() {
    const COUNT: u64 = 2000;
    let fixture = Fixture::new();
    let fill = fixture.store.transact(|txn| async move {
        for key in 0..COUNT {
            txn.put(ROWS.at(key), &format!("{key} {}", "x".repeat(300)));
        }
        Ok::<_, StoreError>(())
    });
    fill.await.expect("a commit");
    let folder = fixture.close();

    let store = open(&folder.path().join("db")).store();
    let db = store.snapshot().await.expect("a snapshot");
    let keys = |rows: Vec<(u64, String)>| rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
    // 700 to 703 are in one block.
    let many = [700, 701, 702, 703, 3, COUNT, 1500]
        .map(|key| ROWS.at(key))
        .to_vec();
    let many = db.get_many(many).await.expect("a read");
    let found: Vec<_> = many
        .iter()
        .map(|row| row.as_ref().map(String::len))
        .collect();
    let expected = [
        Some(304),
        Some(304),
        Some(304),
        Some(304),
        Some(302),
        None,
        Some(305),
    ];
    assert_eq!(found, expected);
    assert_eq!(db.exists(ROWS.at(1200)).await, Ok(true));
    let page = db.page(ROWS.all().after(690), 100).await.expect("a page");
    assert_eq!(keys(page), (691..791).collect::<Vec<_>>());
    let page = db
        .page(ROWS.all().before(1510).reversed(), 100)
        .await
        .expect("a page");
    assert_eq!(keys(page), (1410..1510).rev().collect::<Vec<_>>());
    let all = db.page(ROWS.all(), usize::MAX).await.expect("a page");
    assert_eq!(keys(all), (0..COUNT).collect::<Vec<_>>());
    assert_eq!(get(&store, 1999).await.map(|value| value.len()), Some(305));
}

#[tokio::test]
async fn each_commit_of_a_lone_writer_is_synced() {
    let fixture = Fixture::new();
    let before = fixture.engine.wal_synced();
    for key in 0..40 {
        put(&fixture.store, key, "x").await.expect("a commit");
    }
    assert!(fixture.engine.wal_synced() >= before + 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_commits_share_syncs() {
    const WRITERS: u64 = 64;
    const EACH: u64 = 20;
    let fixture = Fixture::new();
    let before = fixture.engine.wal_synced();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let store = fixture.store.clone();
        tasks.spawn(async move {
            for number in 0..EACH {
                put(&store, writer * EACH + number, "x")
                    .await
                    .expect("a commit");
            }
        });
    }
    tasks.join_all().await;
    let syncs = fixture.engine.wal_synced() - before;
    assert!(
        syncs < WRITERS * EACH / 4,
        "{syncs} syncs for {} commits",
        WRITERS * EACH
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_wait_shares_the_sync_of_what_may_not() {
    let fixture = Fixture::new();
    let before = fixture.engine.wal_synced();
    let mut lazy = tokio::task::JoinSet::new();
    for key in 0..20 {
        let write = Write::Put(
            Address {
                table: "lazy",
                key: vec![key],
            },
            vec![1],
        );
        let commit = commit(vec![write], Durability::WithNext);
        let engine = fixture.engine.clone();
        lazy.spawn(async move { engine.commit(commit).await });
    }
    put(&fixture.store, 1, "urgent").await.expect("a commit");
    for stamp in lazy.join_all().await {
        stamp.expect("a commit");
    }
    assert!(fixture.engine.wal_synced() - before <= 3);
}

#[tokio::test]
async fn a_held_snapshot_survives_its_engine() {
    let fixture = Fixture::new();
    put(&fixture.store, 1, "x").await.expect("a commit");
    let db = fixture.store.snapshot().await.expect("a snapshot");
    let folder = fixture.close();
    assert_eq!(db.get(ROWS.at(1)).await, Ok(Some("x".to_owned())));
    drop(db);
    drop(open(&folder.path().join("db")));
}

#[tokio::test]
async fn a_full_queue_waits_and_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut options = crate::fixture::options(&folder.path().join("db"));
    options.queue_bytes = 4096;
    let engine = database_rocksdb::RocksEngine::open(&options).expect("it opens");
    let store = engine.store();
    let mut tasks = tokio::task::JoinSet::new();
    for key in 0..100 {
        let store = store.clone();
        tasks.spawn(async move { put(&store, key, &"x".repeat(5000)).await });
    }
    for stamp in tasks.join_all().await {
        stamp.expect("a commit");
    }
    let db = store.snapshot().await.expect("a snapshot");
    assert_eq!(db.page(ROWS.all(), 1000).await.expect("a page").len(), 100);
}

#[tokio::test]
async fn a_reader_of_the_first_view_sees_what_it_read_conflict() {
    let fixture = Fixture::new();
    put(&fixture.store, 1, "x").await.expect("a commit");
    let mut late = commit(Vec::new(), Durability::Now);
    late.since = Stamp::START;
    late.points = vec![Address {
        table: "rows",
        key: 1_u64.to_be_bytes().to_vec(),
    }];
    late.writes = vec![Write::Delete(Address {
        table: "rows",
        key: vec![0],
    })];
    let engine: Arc<dyn Engine> = Arc::new(fixture.engine.clone());
    assert_eq!(engine.commit(late).await, Err(StoreError::Conflict));
}

fn commit(writes: Vec<Write>, durability: Durability) -> Commit {
    let since = Stamp::START;
    let (points, spans, clears) = (Vec::new(), Vec::new(), Vec::new());
    Commit {
        since,
        points,
        spans,
        clears,
        writes,
        durability,
    }
}
