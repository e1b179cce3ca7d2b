//! The open database and the threads that may wait for its disk.

use std::{path::Path, sync::Arc};

use database::StoreError;
use database::engine::BoxFuture;
use rocksdb::{DB, statistics::Ticker};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{
    error::{OpenError, unavailable},
    options::Options,
};

/// What views, committer and engine share.
pub(crate) struct Base {
    pub(crate) db: DB,
    /// Kept for its counters.
    options: rocksdb::Options,
    cold: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Base {
    /// Makes a database in a folder that has none.
    pub(crate) fn create(options: &Options) -> Result<Self, OpenError> {
        let mut rocksdb = options.rocksdb();
        rocksdb.create_if_missing(true);
        Self::open_with(options, rocksdb)
    }

    pub(crate) fn open(options: &Options) -> Result<Self, OpenError> {
        Self::open_with(options, options.rocksdb())
    }

    fn open_with(options: &Options, rocksdb: rocksdb::Options) -> Result<Self, OpenError> {
        let db = open_db(&rocksdb, &options.path)?;
        db.set_options(&[
            // Many range deletions in one memtable slow its reads down: flush it before that.
            ("memtable_max_range_deletions", "256"),
            // Seconds before a file is written again only because it kept what a snapshot could see. A view is open at
            // nearly every flush: without the delay, each new file would be written twice at once.
            ("bottommost_file_compaction_delay", "3600"),
        ])?;
        let cold = Arc::new(Semaphore::new(options.cold_reads));
        Ok(Self {
            db,
            options: rocksdb,
            cold,
            tasks: options.tasks.clone(),
        })
    }

    /// How many disk syncs the log had since the database was opened.
    pub(crate) fn wal_synced(&self) -> u64 {
        self.options.get_ticker_count(Ticker::WalFileSynced)
    }

    /// Runs a read that may wait for the disk on a thread that may; only so many at once. Not by
    /// `database::Blocking`: these reads are what the other engines simulate.
    pub(crate) fn on_disk<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'_, Result<T, StoreError>> {
        Box::pin(async move {
            let permit = self
                .cold
                .clone()
                .acquire_owned()
                .await
                .map_err(unavailable)?;
            let read = self.tasks.spawn_blocking(move || {
                let _permit = permit;
                read()
            });
            read.await.map_err(unavailable)?
        })
    }
}

pub(crate) fn open_db(options: &rocksdb::Options, path: &Path) -> Result<DB, OpenError> {
    DB::open(options, path).map_err(|error| {
        let text = error.to_string();
        let is_locked = ["While lock file", "lock hold by current process"];
        if is_locked.iter().any(|words| text.contains(words)) {
            OpenError::InUse(path.to_owned())
        } else {
            OpenError::Engine(error)
        }
    })
}
