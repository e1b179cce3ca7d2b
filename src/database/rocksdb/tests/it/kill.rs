//! A process that writes, flushes and compacts all the time is killed again and again. What it
//! leaves is never taken for damage, and has every row that was acknowledged.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use database::{Random as _, Read, SeededRandom};
use database_rocksdb::{Options, RocksEngine};

use crate::fixture::{ROWS, options, put};

const NAME: &str = "kill::a_killed_writer_leaves_a_database_in_order";
/// Set for the process that is killed; names the database.
const FOLDER: &str = "AQUEDUCT_TEST_KILLED_FOLDER";
const FIRST: &str = "AQUEDUCT_TEST_FIRST_ROW";

/// Each memtable holds a few dozen rows.
fn tiny(path: &Path) -> Options {
    let mut options = options(path);
    options.write_buffer_bytes = 128 << 10;
    options
}

#[tokio::test]
async fn a_killed_writer_leaves_a_database_in_order() {
    if let Some(folder) = env::var_os(FOLDER) {
        let first = env::var(FIRST).expect("it is set");
        write_for_ever(Path::new(&folder), first.parse().expect("a number")).await;
    }
    let rounds = env::var("KILL_ROUNDS").map_or(8, |rounds| rounds.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let random = SeededRandom::new(7);
    let mut acknowledged = 0;
    for round in 0..rounds {
        acknowledged = write_until_killed(&path, acknowledged, 20 + random.u64() % 800);

        let engine = RocksEngine::open(&tiny(&path)).expect("it is in order");
        let db = engine.store().snapshot().await.expect("a snapshot");
        let rows = db.page(ROWS.all(), usize::MAX).await.expect("a page");
        let keys: Vec<u64> = rows.iter().map(|(key, _)| *key).collect();
        let expected: Vec<u64> = (0..keys.len() as u64).collect();
        assert_eq!(keys, expected, "round {round}");
        assert!(keys.len() as u64 >= acknowledged, "round {round}");
        acknowledged = keys.len() as u64;
    }
}

/// Returns how many rows there are that were acknowledged.
fn write_until_killed(path: &Path, first: u64, count: u64) -> u64 {
    let mut child = Command::new(env::current_exe().expect("a path"))
        .args(["--exact", NAME, "--nocapture"])
        .env(FOLDER, path)
        .env(FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it runs");
    let output = BufReader::new(child.stdout.take().expect("it is piped"));
    let mut acknowledged = first;
    let mut output = output.lines();
    for line in output.by_ref().take(usize::try_from(count).expect("small")) {
        let line = line.expect("text");
        if let Some((_, row)) = line.split_once("acknowledged ") {
            acknowledged = row.parse::<u64>().expect("a number") + 1;
        }
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    // The last line may be cut off.
    acknowledged
}

async fn write_for_ever(path: &Path, first: u64) {
    let store = RocksEngine::open(&tiny(path))
        .expect("it is in order")
        .store();
    let random = SeededRandom::new(first);
    for key in first.. {
        put(&store, key, &random.token(1500))
            .await
            .expect("a commit");
        println!("acknowledged {key}");
    }
}
