//! Backups of a live database, and old stamps in a restored one.

use std::{fs, path::PathBuf, sync::Arc};

use database::{Clock, Millis, MockClock, Position, Read, Stamp, Store};
use database_rocksdb::{OpenError, Restore, Restored, restore};
use tokio_util::task::TaskTracker;

use crate::fixture::{Fixture, ONE_TIME, ROWS, get, open, put};

/// Long before any stamp that a clock would give.
const NOW: Millis = Millis(1_700_000_000_000);

fn backup_to(fixture: &Fixture) -> Restore {
    let backup = fixture.folder.path().join("backups/first");
    fixture.engine.checkpoint(&backup).expect("a backup");
    Restore {
        backup,
        to: fixture.folder.path().join("restored"),
        server_name: None,
        clear: vec!["one_time", "no"],
    }
}

async fn count(store: &Store) -> usize {
    let db = store.snapshot().await.expect("a snapshot");
    db.page(ROWS.all(), usize::MAX).await.expect("a page").len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_holds_all_that_was_committed_before_it() {
    let fixture = Fixture::new();
    for key in 0..20 {
        put(&fixture.store, key, &"x".repeat(1000))
            .await
            .expect("a commit");
    }
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 1..9 {
        let store = fixture.store.clone();
        tasks.spawn(async move {
            for key in 0..100 {
                put(&store, writer * 1000 + key, "y")
                    .await
                    .expect("a commit");
            }
        });
    }
    let engine = fixture.engine.clone();
    let backup = fixture.folder.path().join("backup");
    let to = backup.clone();
    let made = TaskTracker::new().spawn_blocking(move || engine.checkpoint(&to));
    made.await.expect("no panic").expect("a backup");
    tasks.join_all().await;

    // It is a database of its own: the original may be gone.
    let path = fixture.path();
    let folder = fixture.close();
    fs::remove_dir_all(path).expect("it can be removed");
    let copy = open(&backup);
    let db = copy.store().snapshot().await.expect("a snapshot");
    for key in 0..20 {
        assert!(db.exists(ROWS.at(key)).await.expect("a read"));
    }
    // One row a commit, from the first stamp on: nothing is missing in between.
    let rows = db.page(ROWS.all(), usize::MAX).await.expect("a page").len();
    assert_eq!(Stamp(Stamp::START.0 + rows as u64), db.stamp());
    drop((db, copy, folder));
}

#[tokio::test]
async fn a_restored_database_never_repeats_a_stamp() {
    let fixture = Fixture::new();
    let clock = MockClock::new(NOW);
    let mut last = Stamp::START;
    for key in 0..10 {
        last = put(&fixture.store, key, "kept").await.expect("a commit");
    }
    let once = fixture.store.transact(|txn| async move {
        txn.put(ONE_TIME.at(1), &"key".to_owned());
        Ok::<_, database::StoreError>(())
    });
    last = last.max(once.await.expect("a commit").1);
    let request = backup_to(&fixture);
    let mut gone = Vec::new();
    for key in 10..20 {
        gone.push(put(&fixture.store, key, "lost").await.expect("a commit"));
    }

    let restored = restore(&request, &clock).expect("it is restored");
    let first = Stamp((1 << 63) + (NOW.0 << 20));
    assert_eq!(restored, Restored { last, first });
    let engine = open(&request.to);
    let store = engine.store();
    assert_eq!(count(&store).await, 10);
    let db = store.snapshot().await.expect("a snapshot");
    assert_eq!(db.get(ONE_TIME.at(1)).await, Ok(None));
    assert_eq!(put(&store, 100, "new").await, Ok(first));
    assert_eq!(put(&store, 101, "new").await, Ok(first.next()));

    for stamp in gone {
        assert_eq!(store.clamp(stamp), last);
        assert_eq!(
            store.clamp_position(Position(stamp, 3)),
            Position::last_of(last)
        );
    }
    for stamp in [Stamp(5), Stamp(last.0 - 1), last, first, first.next()] {
        assert_eq!(store.clamp(stamp), stamp);
        assert_eq!(store.clamp_position(Position(stamp, 3)), Position(stamp, 3));
    }
}

#[tokio::test]
async fn a_second_restore_keeps_the_first_cut() {
    let fixture = Fixture::new();
    let clock = MockClock::new(NOW);
    let last = put(&fixture.store, 1, "x").await.expect("a commit");
    let mut request = backup_to(&fixture);
    let gone = put(&fixture.store, 2, "lost").await.expect("a commit");
    restore(&request, &clock).expect("it is restored");
    {
        let engine = open(&request.to);
        // A backup of the restored one, before and after its first commit.
        engine
            .checkpoint(&fixture.folder.path().join("second"))
            .expect("a backup");
    }
    // The clock has gone back: the second one still begins after the first.
    clock.set(Millis(1));
    request.backup = fixture.folder.path().join("second");
    request.to = fixture.folder.path().join("again");
    let again = restore(&request, &clock).expect("it is restored");
    assert!(again.first > again.last);
    let store = open(&request.to).store();
    assert_eq!(store.clamp(gone), last);
    assert_eq!(
        store.clamp(again.last),
        last,
        "nothing was committed in between"
    );
    assert_eq!(get(&store, 1).await, Some("x".to_owned()));
    assert!(put(&store, 2, "y").await.expect("a commit") >= again.first);
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let fixture = Fixture::new();
    let clock: Arc<dyn Clock> = Arc::new(MockClock::new(NOW));
    let request = backup_to(&fixture);
    let occupied = |error| matches!(error, OpenError::Occupied(_));
    assert!(
        fixture
            .engine
            .checkpoint(&request.backup)
            .is_err_and(occupied)
    );
    let onto_live = Restore {
        to: fixture.path(),
        ..request.clone()
    };
    assert!(restore(&onto_live, &*clock).is_err_and(occupied));
    let nowhere = Restore {
        backup: PathBuf::from("/nonexistent"),
        ..request.clone()
    };
    let foreign = |error| matches!(error, OpenError::Foreign(_));
    assert!(restore(&nowhere, &*clock).is_err_and(foreign));

    // What an interrupted restore has left is no obstacle.
    let draft = fixture.folder.path().join("restored.restoring");
    fs::create_dir_all(&draft).expect("a folder");
    fs::write(draft.join("000001.sst"), "half").expect("a file");
    fs::create_dir_all(&request.to).expect("an empty folder");
    restore(&request, &*clock).expect("it is restored");
    assert!(!draft.exists());
}
