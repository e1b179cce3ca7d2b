//! A disk that takes no more: writes fail, reads go on, and nothing that was acknowledged is lost.

use std::{env, path::Path, process::Command};

use database::{Read, StoreError};
use database_rocksdb::{Health, RocksEngine};

use crate::fixture::{ROWS, get, open, options, put};

const NAME: &str = "limits::writes_beyond_a_file_size_limit_fail_and_lose_nothing";
/// Set for the process that has the limit; names the database.
const FOLDER: &str = "AQUEDUCT_TEST_LIMITED_FOLDER";

#[tokio::test]
async fn writes_beyond_a_file_size_limit_fail_and_lose_nothing() {
    if let Some(folder) = env::var_os(FOLDER) {
        limited(Path::new(&folder)).await;
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    // In units of 512 or 1024 bytes: one or two megabytes.
    let output = Command::new("sh")
        .args([
            "-c",
            r#"ulimit -f 2048 && exec "$0" --exact "$1" --nocapture"#,
        ])
        .arg(env::current_exe().expect("a path"))
        .arg(NAME)
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
        .expect("a commit, now that there is room");
}

fn value(key: u64) -> String {
    format!("{key} {}", "x".repeat(50_000))
}

/// Runs in a process of its own, whose files may not grow beyond the limit.
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
