//! Checking a database that is not open, and repairing its logs.

use std::{
    fs,
    path::{Path, PathBuf},
};

use database::{MockClock, Random as _, SeededRandom, Stamp, Store, StoreError};
use database_rocksdb::{OpenError, RocksEngine, check, repair_logs};
use tempfile::TempDir;

use crate::fixture::{ONE_TIME, get, open, options, put};

const ROW_COUNT: u64 = 40;

/// A closed database with rows in a table file and in a log, whose stamps are returned.
async fn filled() -> (TempDir, PathBuf, Vec<Stamp>) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let random = SeededRandom::new(1);
    let mut stamps = Vec::new();
    for session in 0..2 {
        let store = open(&path).store();
        for key in 0..ROW_COUNT / 2 {
            let key = session * ROW_COUNT / 2 + key;
            stamps.push(
                put(&store, key, &random.token(2000))
                    .await
                    .expect("a commit"),
            );
        }
    }
    (folder, path, stamps)
}

fn file(path: &Path, end: &str) -> PathBuf {
    let entries = fs::read_dir(path).expect("a folder");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(end))
        .collect();
    files.sort_unstable();
    files.pop().expect("there is one")
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).expect("a file");
    bytes[at] ^= 4;
    fs::write(file, bytes).expect("it can be written");
}

async fn keys(store: &Store) -> Vec<u64> {
    let mut keys = Vec::new();
    for key in 0..ROW_COUNT {
        if get(store, key).await.is_some() {
            keys.push(key);
        }
    }
    keys
}

#[tokio::test]
async fn a_database_in_order_has_no_findings_and_stays_as_it_is() {
    let (_folder, path, _) = filled().await;
    let log = fs::read(file(&path, ".log")).expect("a file");
    let checked = check(&options(&path)).expect("it can be checked");
    assert!(checked.rows > ROW_COUNT, "{} rows", checked.rows);
    assert_eq!(checked.findings, Vec::<String>::new());
    assert_eq!((checked.repair, checked.torn), (None, None));
    assert_eq!(fs::read(file(&path, ".log")).expect("a file"), log);
    let repaired = repair_logs(&options(&path), &[], &MockClock::default());
    assert_eq!(repaired.expect("nothing to do"), None);
}

#[tokio::test]
async fn a_database_in_use_is_neither_checked_nor_repaired() {
    let (_folder, path, _) = filled().await;
    let engine = open(&path);
    assert!(matches!(check(&options(&path)), Err(OpenError::InUse(_))));
    let repaired = repair_logs(&options(&path), &[], &MockClock::default());
    assert!(matches!(repaired, Err(OpenError::InUse(_))));
    put(&engine.store(), 1, "x").await.expect("it goes on");
}

#[tokio::test]
async fn a_damaged_table_file_is_found_with_its_row() {
    let (_folder, path, _) = filled().await;
    drop(open(&path));
    let table = file(&path, ".sst");
    flip(&table, fs::read(&table).expect("a file").len() / 2);
    let checked = check(&options(&path)).expect("it can be checked");
    let name = table.file_name().expect("a name").to_string_lossy();
    let [finding] = &checked.findings[..] else {
        panic!("{:?}", checked.findings);
    };
    for part in [&*name, "after row", "table `rows`"] {
        assert!(finding.contains(part), "{finding} names {part}");
    }
    assert!(checked.rows > ROW_COUNT / 2, "{} rows", checked.rows);
}

#[tokio::test]
async fn the_engines_own_rows_are_needed_at_start() {
    let (_folder, path, _) = filled().await;
    drop(open(&path));
    let table = file(&path, ".sst");
    flip(&table, 50);
    let error = RocksEngine::open(&options(&path))
        .err()
        .expect("it is refused");
    let name = table.file_name().expect("a name").to_string_lossy();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(&*name), "{error}");
}

#[tokio::test]
async fn a_damaged_log_is_shown_and_repaired_up_to_the_damage() {
    let (folder, path, stamps) = filled().await;
    let log = file(&path, ".log");
    let length = fs::read(&log).expect("a file").len();
    flip(&log, length / 2);
    let damaged = fs::read(&log).expect("a file");

    let error = RocksEngine::open(&options(&path))
        .err()
        .expect("it is refused")
        .to_string();
    let name = log
        .file_name()
        .expect("a name")
        .to_string_lossy()
        .into_owned();
    assert!(
        error.contains(&name) && error.contains("aqueduct check"),
        "{error}"
    );
    let checked = check(&options(&path)).expect("it can be checked");
    let repair = checked.repair.expect("it can be repaired");
    assert_eq!((&repair.log, checked.findings.len()), (&log, 1));
    assert!((8..=10).contains(&repair.kept), "{repair:?}");
    assert_eq!(repair.kept + repair.lost + 1, ROW_COUNT / 2);

    let clock = MockClock::default();
    let repaired = repair_logs(&options(&path), &["one_time"], &clock).expect("it is repaired");
    let repaired = repaired.expect("there was damage");
    assert_eq!(repaired.repair, repair);
    assert_eq!(repaired.original, folder.path().join("db.damaged"));
    assert_eq!(
        fs::read(repaired.original.join(name)).expect("a file"),
        damaged
    );
    assert!(!folder.path().join("db.repairing").exists());

    let store = open(&path).store();
    let kept = ROW_COUNT / 2 + repair.kept;
    assert_eq!(keys(&store).await, (0..kept).collect::<Vec<_>>());
    // The stamps of what is lost are not used again.
    let last = stamps[usize::try_from(kept).expect("small") - 1];
    assert_eq!(repaired.restored.last, last);
    assert_eq!(store.clamp(*stamps.last().expect("a stamp")), last);
    let next = put(&store, 1, "new").await.expect("a commit");
    assert!(next > *stamps.last().expect("a stamp"));
}

#[tokio::test]
async fn a_repair_drops_what_may_be_used_once_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    {
        let store = open(&path).store();
        let once = store.transact(|txn| async move {
            txn.put(ONE_TIME.at(1), &"key".to_owned());
            Ok::<_, StoreError>(())
        });
        once.await.expect("a commit");
        for key in 0..10 {
            put(&store, key, &"x".repeat(500)).await.expect("a commit");
        }
    }
    let log = file(&path, ".log");
    flip(&log, fs::read(&log).expect("a file").len() / 2);
    let repaired = repair_logs(&options(&path), &["one_time"], &MockClock::default());
    assert!(repaired.expect("it is repaired").is_some());
    let db = open(&path).store().snapshot().await.expect("a snapshot");
    let key = database::Read::get(&db, ONE_TIME.at(1)).await;
    assert_eq!(key, Ok(None));
}

#[tokio::test]
async fn a_log_that_ends_early_is_found_after_an_orderly_end() {
    let (_folder, path, _) = filled().await;
    let log = file(&path, ".log");
    let bytes = fs::read(&log).expect("a file");
    fs::write(&log, &bytes[..bytes.len() / 2]).expect("it can be written");
    assert!(matches!(
        RocksEngine::open(&options(&path)).err(),
        Some(OpenError::Damaged { .. })
    ));
    assert_eq!(
        check(&options(&path))
            .expect("it can be checked")
            .findings
            .len(),
        1
    );
}
