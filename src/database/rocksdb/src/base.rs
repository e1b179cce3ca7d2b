//! The open database and the threads that may wait for its disk.

use std::{
    fs::{File, TryLockError},
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use database::StoreError;
use database::engine::BoxFuture;
use rocksdb::{DB, ErrorKind};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::{
    disk::Failure,
    error::{OpenError, unavailable},
    health::Health,
    layout::Tables,
    options::Options,
    verify::{Torn, verify},
    view::shown,
};

/// What views, committer and engine share.
pub(crate) struct Base {
    pub(crate) db: DB,
    cold: Arc<Semaphore>,
    tasks: TaskTracker,
    faults: Arc<Mutex<Faults>>,
    /// Closed with the database, which the other end waits for.
    _closed: mpsc::Sender<()>,
}

/// What reads have met since the process started.
#[derive(Default)]
pub(crate) struct Faults {
    /// The first row or file that could not be read because it is damaged. Nothing is written or
    /// compacted any more, so that what can still be read is not lost as well.
    pub(crate) damage: Option<String>,
    /// The last other error of a read, and how many there were.
    pub(crate) read_error: Option<(String, u64)>,
}

impl Base {
    pub(crate) fn new(db: DB, options: &Options, shared: &Shared) -> (Self, mpsc::Receiver<()>) {
        let (closed, is_closed) = mpsc::channel();
        let base = Self {
            db,
            cold: Arc::new(Semaphore::new(options.cold_reads)),
            tasks: options.tasks.clone(),
            faults: shared.faults.clone(),
            _closed: closed,
        };
        (base, is_closed)
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

    /// A read of `place` (a row, or a range) has failed: for the caller, and for the operator.
    pub(crate) fn read_failed(&self, place: &str, error: &rocksdb::Error) -> StoreError {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if error.kind() != ErrorKind::Corruption {
            let count = faults.read_error.take().map_or(0, |(_, count)| count) + 1;
            faults.read_error = Some((error.to_string(), count));
            return unavailable(format!("{place} cannot be read: {error}"));
        }
        drop(faults);
        let damage = format!("{place} is damaged: {error}");
        self.stop_writing(&damage);
        unavailable(damage)
    }

    /// A flush or a compaction has met damage, and the next write reports it.
    pub(crate) fn write_failed(&self, error: String) -> Failure {
        let text = match self.file_in(&error) {
            Some(place) => format!("{place} is damaged: {error}"),
            None => error,
        };
        self.stop_writing(&text);
        Failure {
            health: Health::Damaged(text.clone()),
            text,
        }
    }

    /// A compaction would write what can be read to a new file and drop the rest.
    fn stop_writing(&self, damage: &str) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.damage.is_some() {
            return;
        }
        faults.damage = Some(damage.to_owned());
        drop(faults);
        Health::Damaged(damage.to_owned()).log(0);
        self.db.cancel_all_background_work(false);
    }

    /// The rows of the table file that an error names.
    fn file_in(&self, error: &str) -> Option<String> {
        let file = self
            .db
            .live_files()
            .ok()?
            .into_iter()
            .find(|file| error.contains(&file.name))?;
        let tables = Tables::load(&self.db).ok()?;
        let [from, to] = [file.start_key?, file.end_key?];
        Some(format!(
            "a row between {} of table {} and {} of table {}",
            shown(from.get(2..)?),
            tables.name_of(&from),
            shown(to.get(2..)?),
            tables.name_of(&to),
        ))
    }
}

/// What outlives one opening of the database.
#[derive(Clone, Default)]
pub(crate) struct Shared {
    pub(crate) faults: Arc<Mutex<Faults>>,
}

impl Shared {
    pub(crate) fn damage(&self) -> Option<Failure> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.damage.clone().map(|text| Failure {
            health: Health::Damaged(text.clone()),
            text,
        })
    }

    pub(crate) fn read_error(&self) -> Option<(String, u64)> {
        let faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.read_error.clone()
    }
}

/// Opens the database of a folder that has one, once all its files are verified.
pub(crate) fn open_verified(options: &rocksdb::Options, path: &Path) -> Result<DB, OpenError> {
    if let Some(torn) = verify(options, path)? {
        warn_of(&torn);
    }
    let db = open_db(options, path)?;
    tune(&db)?;
    Ok(db)
}

/// Makes a database in a folder that has none.
pub(crate) fn create(options: &rocksdb::Options, path: &Path) -> Result<DB, OpenError> {
    let mut options = options.clone();
    options.create_if_missing(true);
    let db = open_db(&options, path)?;
    tune(&db)?;
    Ok(db)
}

fn warn_of(torn: &Torn) {
    tracing::warn!(
        log = %torn.log.display(),
        at = torn.at,
        bytes = torn.bytes,
        "the last record of the newest log is incomplete and is dropped: the process or the \
         machine stopped while it was written, before its commits were acknowledged"
    );
}

fn tune(db: &DB) -> Result<(), OpenError> {
    db.set_options(&[
        // Many range deletions in one memtable slow its reads down: flush it before that.
        ("memtable_max_range_deletions", "256"),
        // Seconds before a file is written again only because it kept what a snapshot could see. A
        // view is open at nearly every flush: without the delay, each new file would be written
        // twice at once.
        ("bottommost_file_compaction_delay", "3600"),
    ])?;
    Ok(())
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

/// Keeps other processes, and other engines of this one, out of the folder while its files are
/// looked at, which RocksDB's own lock does not. Released when the file is dropped.
pub(crate) fn lock_folder(path: &Path) -> Result<File, OpenError> {
    let folder = File::open(path).map_err(OpenError::at(path))?;
    match folder.try_lock() {
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        // Some network file systems have no locks; RocksDB's own lock is left.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(folder),
    }
}
