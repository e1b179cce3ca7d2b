//! A migration that the process is killed in, at each point: the next start resumes it, and one
//! complete checkpoint from before it remains.

use std::{
    fs,
    path::{Path, PathBuf},
};

use database::{
    Read, Store, StoreError, Txn,
    migrate::{self, Migration, Progress, StepFuture},
};
use database_rocksdb::{OpenError, RocksEngine};
use tempfile::TempDir;

use crate::fixture::{ROWS, get, open, put};

const ROW_COUNT: u64 = 20;
const CHUNK: usize = 3;

const EXCLAIM: Migration = Migration {
    name: "exclaim all rows",
    step: exclaim,
};

fn exclaim<'a>(txn: &'a Txn, place: &'a [u8]) -> StepFuture<'a> {
    Box::pin(async move {
        let rows = match place.try_into() {
            Ok(last) => ROWS.all().after(u64::from_be_bytes(last)),
            Err(_) => ROWS.all(),
        };
        let chunk = txn.page(rows, CHUNK).await?;
        for (key, value) in &chunk {
            if txn.exists(ROWS.at(KILL_AT)).await? && *key >= 9 {
                return Err(StoreError::Unavailable("killed".to_owned()));
            }
            txn.put(ROWS.at(*key), &format!("{value}!"));
        }
        Ok(match chunk.last() {
            Some((last, _)) => Progress::At(last.to_be_bytes().to_vec()),
            None => Progress::Done,
        })
    })
}

/// While this row exists, the migration stops in its fourth chunk.
const KILL_AT: u64 = 1_000_000;

async fn filled() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("db");
    let store = open(&path).store();
    for key in 0..ROW_COUNT {
        put(&store, key, "x").await.expect("a commit");
    }
    (folder, path)
}

fn checkpoint_of(path: &Path) -> PathBuf {
    path.with_file_name("db.before-exclaim-all-rows")
}

async fn run(engine: &RocksEngine) -> bool {
    let checkpoint = async |name| engine.checkpoint_before(name);
    migrate::run(&engine.store(), &[EXCLAIM], checkpoint)
        .await
        .is_ok()
}

async fn assert_all(store: &Store, value: &str) {
    for key in 0..ROW_COUNT {
        assert_eq!(get(store, key).await.as_deref(), Some(value), "row {key}");
    }
}

/// The migration is done and its checkpoint has the rows from before it.
async fn assert_done(path: &Path) {
    let engine = open(path);
    assert!(run(&engine).await);
    assert_all(&engine.store(), "x!").await;
    assert!(run(&engine).await, "it is not run twice");
    assert_all(&engine.store(), "x!").await;
    assert_all(&open(&checkpoint_of(path)).store(), "x").await;
}

#[tokio::test]
async fn a_migration_that_is_not_interrupted_leaves_one_checkpoint() {
    let (_folder, path) = filled().await;
    assert_done(&path).await;
}

#[tokio::test]
async fn killed_before_the_checkpoint_was_named() {
    let (_folder, path) = filled().await;
    let draft = path.with_file_name("db.before-exclaim-all-rows.tmp");
    fs::create_dir(&draft).expect("a folder");
    fs::write(draft.join("000008.sst"), "half").expect("a file");
    assert_done(&path).await;
}

#[tokio::test]
async fn killed_before_the_checkpoint_was_complete() {
    let (_folder, path) = filled().await;
    let checkpoint = checkpoint_of(&path);
    open(&path).checkpoint(&checkpoint).expect("a checkpoint");
    fs::remove_file(checkpoint.join("AQUEDUCT")).expect("it was the last file");
    fs::write(checkpoint.join("AQUEDUCT.new"), "aqued").expect("a file");
    assert_done(&path).await;
}

#[tokio::test]
async fn killed_after_the_checkpoint() {
    let (_folder, path) = filled().await;
    open(&path)
        .checkpoint_before(EXCLAIM.name)
        .expect("a checkpoint");
    assert_done(&path).await;
}

#[tokio::test]
async fn killed_between_two_chunks() {
    let (_folder, path) = filled().await;
    {
        let engine = open(&path);
        // The checkpoint has this row too, so it is taken off again below.
        put(&engine.store(), KILL_AT, "").await.expect("a commit");
        assert!(!run(&engine).await);
        assert_eq!(get(&engine.store(), 8).await.as_deref(), Some("x!"));
        assert_eq!(get(&engine.store(), 9).await.as_deref(), Some("x"));
        let resume = engine
            .store()
            .transact(|txn| async move {
                txn.delete(ROWS.at(KILL_AT));
                Ok::<_, StoreError>(())
            })
            .await;
        resume.expect("a commit");
    }
    assert_done(&path).await;
}

#[tokio::test]
async fn a_checkpoint_from_another_time_is_not_taken_for_this_one() {
    let (_folder, path) = filled().await;
    let engine = open(&path);
    engine
        .checkpoint_before(EXCLAIM.name)
        .expect("a checkpoint");
    put(&engine.store(), 500, "later").await.expect("a commit");
    let stale = engine.checkpoint_before(EXCLAIM.name);
    assert!(matches!(stale, Err(OpenError::Occupied(_))), "{stale:?}");
    assert!(!run(&engine).await, "no migration without its checkpoint");
    assert_all(&engine.store(), "x").await;
}

#[tokio::test]
async fn a_folder_of_something_else_is_not_removed() {
    let (_folder, path) = filled().await;
    let checkpoint = checkpoint_of(&path);
    fs::create_dir(&checkpoint).expect("a folder");
    fs::write(checkpoint.join("notes.txt"), "mine").expect("a file");
    assert!(open(&path).checkpoint_before(EXCLAIM.name).is_err());
    assert!(checkpoint.join("notes.txt").exists());
}
