//! Limits that a process or a disk meets: writes fail, reads go on, and nothing that was
//! acknowledged is lost. Each runs in a process of its own that has the limit.

use std::{env, fs::File, path::Path, process::Command, time::Duration};

use database::{Read, Store, StoreError};
use database_rocksdb::{Health, RocksEngine};

use crate::fixture::{ROWS, get, open, options, put};

/// Set for the process that has the limit; names the database.
const FOLDER: &str = "AQUEDUCT_TEST_LIMITED_FOLDER";

#[tokio::test]
async fn writes_beyond_a_file_size_limit_fail_and_lose_nothing() {
    if let Some(folder) = env::var_os(FOLDER) {
        limited(Path::new(&folder)).await;
        return;
    }
    // In units of 512 or 1024 bytes: one or two megabytes.
    let name = "limits::writes_beyond_a_file_size_limit_fail_and_lose_nothing";
    run_limited("ulimit -f 2048", name).await;
}

#[tokio::test]
async fn too_many_open_files_are_over_when_some_are_closed() {
    if let Some(folder) = env::var_os(FOLDER) {
        without_files(Path::new(&folder)).await;
        return;
    }
    let name = "limits::too_many_open_files_are_over_when_some_are_closed";
    run_limited("ulimit -n 160", name).await;
}

/// Runs the test of this name again under the limit, and looks at the database that it leaves.
async fn run_limited(limit: &str, name: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let output = Command::new("sh")
        .arg("-c")
        .arg(format!(r#"{limit} && exec "$0" --exact "$1" --nocapture"#))
        .arg(env::current_exe().expect("a path"))
        .arg(name)
        .env(FOLDER, &path)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let acknowledged = text
        .lines()
        .find_map(|line| line.split_once("acknowledged ")?.1.parse().ok());
    let acknowledged: u64 = acknowledged.expect("the count of acknowledged rows");
    assert!(acknowledged > 2);

    let store = open(&path).store();
    for key in 0..acknowledged {
        assert_eq!(get(&store, key).await, Some(value(key)));
    }
    put(&store, 0, "after")
        .await
        .expect("a commit, now that there is no limit");
}

fn value(key: u64) -> String {
    format!("{key} {}", "x".repeat(50_000))
}

/// Until a write is refused. Returns how many rows were acknowledged.
async fn put_until_refused(store: &Store) -> u64 {
    for key in 0..1000 {
        match put(store, key, &value(key)).await {
            Ok(_) => {}
            Err(StoreError::Unavailable(_)) => return key,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the limit has no effect");
}

/// A full memtable needs a new log, and there is no file left for it.
async fn without_files(path: &Path) {
    let engine = open(path);
    let store = engine.store();
    let mut health = engine.watch_health();
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
        assert!(files.len() < 1000, "the limit has no effect");
    }
    let acknowledged = put_until_refused(&store).await;
    assert_eq!(engine.health(), Health::TooManyOpenFiles);
    assert!(put(&store, acknowledged, "x").await.is_err());
    for key in 0..acknowledged {
        assert_eq!(get(&store, key).await, Some(value(key)), "it keeps reading");
    }
    // An old view keeps the database from being opened again for a while, and goes on reading.
    let held = store.snapshot().await.expect("a snapshot");

    drop(files);
    assert_eq!(held.get(ROWS.at(0)).await, Ok(Some(value(0))));
    drop(held);
    let writable = health.wait_for(|health| *health == Health::Writable);
    tokio::time::timeout(Duration::from_mins(1), writable)
        .await
        .expect("it recovers without a restart")
        .expect("the engine is open");

    assert_eq!(
        get(&store, acknowledged).await,
        None,
        "what failed is not there"
    );
    for key in 0..acknowledged + 50 {
        if key >= acknowledged {
            put(&store, key, &value(key))
                .await
                .expect("it writes again");
        }
        assert_eq!(get(&store, key).await, Some(value(key)));
    }
    println!("acknowledged {}", acknowledged + 50);
}

/// Its files may not grow beyond the limit.
async fn limited(path: &Path) {
    let mut options = options(path);
    // The log reaches the limit long before it is flushed.
    options.write_buffer_bytes = 64 << 20;
    let engine = RocksEngine::open(&options).expect("it opens");
    assert_eq!(engine.health(), Health::Writable);
    let store = engine.store();
    let mut key = 0;
    let published = loop {
        let before = *store.published().borrow();
        match put(&store, key, &value(key)).await {
            Ok(_) => key += 1,
            Err(StoreError::Unavailable(_)) => break before,
            Err(error) => panic!("{error}"),
        }
        assert!(key < 1000, "the limit has no effect");
    };
    assert_eq!(
        *store.published().borrow(),
        published,
        "nothing was published"
    );
    for row in 0..key {
        assert_eq!(get(&store, row).await, Some(value(row)), "it keeps reading");
    }
    assert_eq!(get(&store, key).await, None);
    let health = engine.health();
    assert!(matches!(health, Health::ReadOnly(_)), "{health:?}");
    assert!(put(&store, key, "small").await.is_err() || get(&store, key).await.is_some());
    let db = store.snapshot().await.expect("a snapshot");
    assert!(db.page(ROWS.all(), usize::MAX).await.expect("a page").len() >= 5);
    println!("acknowledged {key}");
}
