//! A database in a temporary folder.

use std::path::{Path, PathBuf};

use database::{Read, Stamp, Store, StoreError, Table, suite::WINDOW_BYTES};
use database_rocksdb::{Options, RocksEngine};
use tempfile::TempDir;
use tokio_util::task::TaskTracker;

pub(crate) static ROWS: Table<u64, String> = Table::new("rows");
pub(crate) static ONE_TIME: Table<u64, String> = Table::new("one_time");

pub(crate) struct Fixture {
    pub(crate) store: Store,
    pub(crate) engine: RocksEngine,
    pub(crate) folder: TempDir,
}

pub(crate) fn options(path: &Path) -> Options {
    let mut options = Options::new(path, TaskTracker::new());
    options.block_cache_bytes = 8 << 20;
    options.write_buffer_bytes = 4 << 20;
    options.window_bytes = WINDOW_BYTES;
    options
}

pub(crate) fn open(path: &Path) -> RocksEngine {
    RocksEngine::open(&options(path)).expect("it opens")
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let engine = open(&folder.path().join("db"));
        Self {
            store: engine.store(),
            engine,
            folder,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("db")
    }

    /// Closes the database and gives its folder.
    pub(crate) fn close(self) -> TempDir {
        self.folder
    }
}

pub(crate) async fn put(store: &Store, key: u64, value: &str) -> Result<Stamp, StoreError> {
    let value = &value.to_owned();
    let put = store.transact(|txn| async move {
        txn.put(ROWS.at(key), value);
        Ok(())
    });
    put.await.map(|((), stamp)| stamp)
}

pub(crate) async fn get(store: &Store, key: u64) -> Option<String> {
    store
        .snapshot()
        .await
        .expect("a snapshot")
        .get(ROWS.at(key))
        .await
        .expect("a read")
}
