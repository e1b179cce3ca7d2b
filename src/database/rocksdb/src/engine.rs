//! The engine as others hold it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    thread::{self, JoinHandle},
};

use database::{
    Stamp, Store, StoreError, SystemClock,
    engine::{BoxFuture, Commit, Engine, View},
};
use rocksdb::{DB, statistics::Ticker};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    backup,
    base::{self, Base, Shared, lock_folder},
    committer::{Committer, Current, Published},
    error::OpenError,
    health::Health,
    identity::{self, Identity},
    late_view::LateView,
    layout::{Cut, Tables, load_stamp},
    options::Options,
    queue::Queue,
    rocks_disk::{self, RocksDisk, Slot},
    view::RocksView,
    witness,
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
    slot: Slot,
    shared: Shared,
    /// Kept for its counters.
    rocksdb: rocksdb::Options,
    queue: Arc<Queue>,
    view: watch::Receiver<Current>,
    stamp: watch::Receiver<Stamp>,
    health: watch::Receiver<Health>,
    cuts: Vec<Cut>,
    committer: Option<JoinHandle<Stamp>>,
    stopped: CancellationToken,
    /// Released last.
    _lock: File,
}

impl RocksEngine {
    /// Opens the database in `options.path`, or makes one if the folder is empty or not there.
    /// Reads the disk: not for async threads. A file size limit of the process (`RLIMIT_FSIZE`)
    /// is an error of writes from here on, and no longer a signal that ends the process.
    pub fn open(options: &Options) -> Result<Self, OpenError> {
        let path = &options.path;
        ignore_file_size_signal();
        let rocksdb = options.rocksdb();
        let (db, lock) = open_or_create(options, &rocksdb)?;
        let cuts = Cut::load_all(&db)?;
        let stamp = load_stamp(&db)?;
        let tables = Arc::new(Tables::load(&db)?);
        let shared = Shared::default();
        let disk = RocksDisk::new(db, options, rocksdb.clone(), shared.clone());
        let slot = disk.slot();
        let base = disk.base().ok_or(OpenError::Malformed("opening"))?;
        let view = RocksView::take(base, stamp, tables.clone());
        let published = Published::new(Arc::new(view), stamp);
        let queue = Arc::new(Queue::new(options.queue_bytes));
        let (view, stamps, health) = (
            published.view.subscribe(),
            published.stamp.subscribe(),
            published.health.subscribe(),
        );
        let window = options.window_bytes;
        let clock = Arc::new(SystemClock);
        let committer = Committer::new(disk, queue.clone(), published, tables, window, clock);
        let stopped = CancellationToken::new();
        let guard = stopped.clone().drop_guard();
        let run = move || {
            let _guard = guard;
            committer.run()
        };
        let committer = thread::Builder::new()
            .name("committer".to_owned())
            .spawn(run);
        let committer = Some(committer.map_err(OpenError::at(path))?);
        let inner = Inner {
            path: path.clone(),
            server_name: options.server_name.clone(),
            slot,
            shared,
            rocksdb,
            queue,
            view,
            stamp: stamps,
            health,
            cuts,
            committer,
            stopped,
            _lock: lock,
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
        backup::checkpoint(&self.inner.base()?.db, folder, name)
    }

    /// Makes the checkpoint to return to if the migration of this name turns out badly, beside the
    /// database: `FOLDER.before-NAME`, with hyphens for spaces. To be called before the migration
    /// begins; calling it again is harmless, and leaves a complete checkpoint as it is. One of the
    /// same name from another time is an error, not overwritten. Waits for the disk.
    pub fn checkpoint_before(&self, migration: &str) -> Result<(), OpenError> {
        let mut folder = self.inner.path.clone().into_os_string();
        folder.push(format!(".before-{}", migration.replace(' ', "-")));
        let stamp = *self.inner.stamp.borrow();
        let name = self.inner.server_name.as_deref();
        backup::checkpoint_before(&self.inner.base()?.db, folder.as_ref(), name, stamp)
    }

    /// RocksDB's `wal.synced` ticker: disk syncs of the log since the database was opened.
    pub fn wal_synced(&self) -> u64 {
        self.inner.rocksdb.get_ticker_count(Ticker::WalFileSynced)
    }

    /// Bytes in the block cache, memtables included, as RocksDB counts them.
    pub fn memory_bytes(&self) -> u64 {
        self.inner.property("rocksdb.block-cache-usage")
    }

    /// As the last write has shown, and the reads since.
    pub fn health(&self) -> Health {
        match self.inner.shared.damage() {
            Some(damage) => damage.health,
            None => self.inner.health.borrow().clone(),
        }
    }

    /// The health that the last write has shown, to be watched. Damage that reads have met is not
    /// in it before the next write.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.inner.health.clone()
    }

    /// What the disk has refused without keeping the database from taking writes: failed reads,
    /// and failed work in the background. For an operator, one line each.
    pub fn disk_errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if let Some((error, count)) = self.inner.shared.read_error() {
            errors.push(format!(
                "{count} reads have failed, the last one with: {error}"
            ));
        }
        let background = self.inner.property("rocksdb.background-errors");
        if background > 0 {
            errors.push(format!("{background} flushes or compactions have failed"));
        }
        errors
    }

    /// Ends when the committer has stopped. While the engine is held that is a fault, and every
    /// further commit fails.
    pub async fn stopped(&self) {
        self.inner.stopped.cancelled().await;
    }
}

/// A database is made only in an empty folder; everything else has to be complete.
fn open_or_create(options: &Options, rocksdb: &rocksdb::Options) -> Result<(DB, File), OpenError> {
    let (path, server_name) = (&options.path, options.server_name.as_deref());
    match identity::check_server(path, server_name)? {
        Identity::Empty => {
            fs::create_dir_all(path).map_err(OpenError::at(path))?;
            let lock = lock_folder(path)?;
            identity::begin(path, server_name)?;
            let db = base::create(rocksdb, path)?;
            identity::finish(path)?;
            Ok((db, lock))
        }
        Identity::Ours { server_name: found } => {
            let lock = lock_folder(path)?;
            let db = base::open_verified(rocksdb, path)?;
            if found.is_none() && server_name.is_some() {
                identity::write(path, server_name)?;
            }
            Ok((db, lock))
        }
    }
}

impl Engine for RocksEngine {
    fn snapshot(&self) -> Arc<dyn View> {
        let stamp = match &*self.inner.view.borrow() {
            Current::View(view) => return view.clone(),
            Current::Reopening(stamp) => *stamp,
            Current::Closed(_) => *self.inner.stamp.borrow(),
        };
        Arc::new(LateView::new(stamp, self.inner.view.clone()))
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Stamp, StoreError>> {
        Box::pin(self.inner.queue.commit(commit))
    }

    fn published(&self) -> watch::Receiver<Stamp> {
        self.inner.stamp.clone()
    }

    fn clamp(&self, stamp: Stamp) -> Stamp {
        Cut::clamp(&self.inner.cuts, stamp)
    }
}

impl Inner {
    fn base(&self) -> Result<Arc<Base>, OpenError> {
        rocks_disk::current(&self.slot).ok_or_else(|| OpenError::Closed(self.path.clone()))
    }

    /// Zero where it cannot be had.
    fn property(&self, name: &str) -> u64 {
        let base = rocks_disk::current(&self.slot);
        let value = base.and_then(|base| base.db.property_int_value(name).ok().flatten());
        value.unwrap_or(0)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        let Some(committer) = self.committer.take() else {
            return;
        };
        let Ok(last) = committer.join() else {
            tracing::error!("the committer had panicked");
            return;
        };
        if let Err(error) = witness::write(&self.path, last) {
            tracing::warn!(%error, "cannot note the last commit beside the database");
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
