//! The engine as others hold it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
    thread::{self, JoinHandle},
};

use database::{
    Stamp, Store, StoreError,
    engine::{BoxFuture, Commit, Engine, View},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    backup,
    base::Base,
    committer::{Committer, Published},
    error::OpenError,
    health::Health,
    identity::{self, Identity},
    layout::{Cut, Tables, load_stamp},
    options::Options,
    queue::Queue,
    view::RocksView,
};

/// An open RocksDB database. Clones share it; the last one to go writes what waits and closes it,
/// which takes as long as one disk sync. Views that are still held keep the folder locked.
#[derive(Clone)]
pub struct RocksEngine {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    server_name: Option<String>,
    base: Arc<Base>,
    queue: Arc<Queue>,
    published: Arc<Published>,
    cuts: Vec<Cut>,
    committer: Option<JoinHandle<()>>,
    stopped: CancellationToken,
}

impl RocksEngine {
    /// Opens the database in `options.path`, or makes one if the folder is empty or not there.
    /// Reads the disk: not for async threads. A file size limit of the process (`RLIMIT_FSIZE`)
    /// is an error of writes from here on, and no longer a signal that ends the process.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let path = &options.path;
        ignore_file_size_signal();
        let base = Arc::new(open_or_create(options)?);
        let cuts = Cut::load_all(&base.db)?;
        let stamp = load_stamp(&base.db)?;
        let tables = Arc::new(Tables::load(&base.db)?);
        let view = RocksView::take(base.clone(), stamp, tables.clone());
        let published = Arc::new(Published::new(Arc::new(view), stamp));
        let queue = Arc::new(Queue::new(options.queue_bytes));
        let committer = Committer::new(
            base.clone(),
            queue.clone(),
            published.clone(),
            tables,
            options.window_bytes,
        );
        let stopped = CancellationToken::new();
        let guard = stopped.clone().drop_guard();
        let run = move || {
            let _guard = guard;
            committer.run();
        };
        let committer = thread::Builder::new()
            .name("committer".to_owned())
            .spawn(run);
        let committer = Some(committer.map_err(OpenError::at(path))?);
        let inner = Inner {
            path: path.clone(),
            server_name: options.server_name.clone(),
            base,
            queue,
            published,
            cuts,
            committer,
            stopped,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    pub fn store(&self) -> Store {
        Store::new(Arc::new(self.clone()))
    }

    /// Makes a backup in `folder`, which must not exist: a database of its own, consistent, with
    /// everything up to some commit at or after the call. Waits for the disk: not for async
    /// threads. Table files are linked where the file system allows it, else copied.
    pub fn checkpoint(&self, folder: &Path) -> Result<(), OpenError> {
        let name = self.inner.server_name.as_deref();
        backup::checkpoint(&self.inner.base.db, folder, name)
    }

    /// Makes the checkpoint to return to if the migration of this name turns out badly, beside the
    /// database: `FOLDER.before-NAME`, with hyphens for spaces. To be called before the migration
    /// begins; calling it again is harmless, and leaves a complete checkpoint as it is. One of the
    /// same name from another time is an error, not overwritten. Waits for the disk.
    pub fn checkpoint_before(&self, migration: &str) -> Result<(), OpenError> {
        let mut folder = self.inner.path.clone().into_os_string();
        folder.push(format!(".before-{}", migration.replace(' ', "-")));
        let stamp = *self.inner.published.stamp.borrow();
        let name = self.inner.server_name.as_deref();
        backup::checkpoint_before(&self.inner.base.db, folder.as_ref(), name, stamp)
    }

    /// RocksDB's `wal.synced` ticker: disk syncs of the log since the database was opened.
    pub fn wal_synced(&self) -> u64 {
        self.inner.base.wal_synced()
    }

    /// Bytes in the block cache, memtables included, as RocksDB counts them.
    pub fn memory_bytes(&self) -> u64 {
        let used = self
            .inner
            .base
            .db
            .property_int_value("rocksdb.block-cache-usage");
        used.ok().flatten().unwrap_or(0)
    }

    /// As the last write has shown.
    pub fn health(&self) -> Health {
        self.inner
            .published
            .health
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends when the committer has stopped. While the engine is held that is a fault, and every
    /// further commit fails.
    pub async fn stopped(&self) {
        self.inner.stopped.cancelled().await;
    }
}

/// A database is made only in an empty folder; everything else has to be complete.
fn open_or_create(options: &Options) -> Result<Base, OpenError> {
    let (path, server_name) = (&options.path, options.server_name.as_deref());
    match identity::check_server(path, server_name)? {
        Identity::Empty => {
            fs::create_dir_all(path).map_err(OpenError::at(path))?;
            identity::begin(path, server_name)?;
            let base = Base::create(options)?;
            identity::finish(path)?;
            Ok(base)
        }
        Identity::Ours { server_name: found } => {
            let base = Base::open(options)?;
            if found.is_none() && server_name.is_some() {
                identity::write(path, server_name)?;
            }
            Ok(base)
        }
    }
}

impl Engine for RocksEngine {
    fn snapshot(&self) -> Arc<dyn View> {
        self.inner
            .published
            .view
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Stamp, StoreError>> {
        Box::pin(self.inner.queue.commit(commit))
    }

    fn published(&self) -> watch::Receiver<Stamp> {
        self.inner.published.stamp.subscribe()
    }

    fn clamp(&self, stamp: Stamp) -> Stamp {
        Cut::clamp(&self.inner.cuts, stamp)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(committer) = self.committer.take()
            && committer.join().is_err()
        {
            tracing::error!("the committer had panicked");
        }
    }
}

/// A write beyond `RLIMIT_FSIZE` raises SIGXFSZ, which ends the process unless it is ignored; then
/// the write fails with EFBIG like any other.
fn ignore_file_size_signal() {
    // SAFETY: ignoring a signal installs no handler that could run.
    #[expect(unsafe_code, reason = "there is no safe way to ignore a signal")]
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}
