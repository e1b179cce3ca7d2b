//! RocksDB as the committer's disk.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    mem,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock, mpsc},
    time::Duration,
};

use database::{Stamp, engine::View};
use rocksdb::{DB, ReadOptions, ReadTier, WriteBatch, WriteOptions};

use crate::{
    base::{self, Base, Shared},
    disk::{Batch, Disk, Failure},
    error::OpenError,
    layout::Tables,
    options::Options,
    verify,
    view::RocksView,
};

/// How long readers of old views may keep the database from being opened again. They go on reading
/// after that, and it is tried again later.
const READERS: Duration = Duration::from_secs(5);

const PROBE: &str = "AQUEDUCT.probe";
const PROBE_BYTES: usize = 1 << 20;
/// As many as RocksDB opens at once when it starts, roughly.
const PROBE_FILES: usize = 16;

/// The open database; `None` while there is none.
pub(crate) type Slot = Arc<RwLock<Option<Arc<Base>>>>;

pub(crate) struct RocksDisk {
    options: Options,
    /// The same for each opening, for the sake of caches and counters.
    rocksdb: rocksdb::Options,
    shared: Shared,
    slot: Slot,
    /// Says that the database of `slot` is closed.
    is_closed: mpsc::Receiver<()>,
    sync: WriteOptions,
}

impl RocksDisk {
    pub(crate) fn new(
        db: DB,
        options: &Options,
        rocksdb: rocksdb::Options,
        shared: Shared,
    ) -> Self {
        let (base, is_closed) = Base::new(db, options, &shared);
        let mut sync = WriteOptions::default();
        sync.set_sync(true);
        Self {
            options: options.clone(),
            rocksdb,
            shared,
            slot: Arc::new(RwLock::new(Some(Arc::new(base)))),
            is_closed,
            sync,
        }
    }

    pub(crate) fn slot(&self) -> Slot {
        self.slot.clone()
    }

    pub(crate) fn base(&self) -> Option<Arc<Base>> {
        current(&self.slot)
    }

    fn open(&mut self, db: DB) {
        let (base, is_closed) = Base::new(db, &self.options, &self.shared);
        self.is_closed = is_closed;
        replace(&self.slot, Some(Arc::new(base)));
    }

    /// Waits until all views are gone and the database is closed.
    fn close(&mut self) -> Result<(), Failure> {
        let Some(base) = replace(&self.slot, None) else {
            return Ok(());
        };
        let still_read = Arc::downgrade(&base);
        drop(base);
        if let Err(mpsc::RecvTimeoutError::Timeout) = self.is_closed.recv_timeout(READERS)
            && let Some(base) = still_read.upgrade()
        {
            replace(&self.slot, Some(base));
            return Err(Failure::other("the database is being read"));
        }
        // Gone in the meantime, or going: the rest of the closing does not wait for others.
        let _ = self.is_closed.recv();
        Ok(())
    }

    /// So that reads go on where writing is not possible yet. Writes nothing itself.
    fn open_for_reading(&mut self) -> Result<(), rocksdb::Error> {
        let db = DB::open_for_read_only(&self.rocksdb, &self.options.path, false)?;
        self.open(db);
        Ok(())
    }

    fn probe_files(&self) -> io::Result<()> {
        let path: PathBuf = self.options.path.join(PROBE);
        let probe = || {
            let mut file = File::create(&path)?;
            file.write_all(&vec![0x55; PROBE_BYTES])?;
            file.sync_all()?;
            let files: io::Result<Vec<_>> = (0..PROBE_FILES).map(|_| File::open(&path)).collect();
            files.map(drop)
        };
        let result = probe();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => result,
        }
    }
}

pub(crate) fn current(slot: &Slot) -> Option<Arc<Base>> {
    slot.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn replace(slot: &Slot, base: Option<Arc<Base>>) -> Option<Arc<Base>> {
    mem::replace(
        &mut *slot.write().unwrap_or_else(PoisonError::into_inner),
        base,
    )
}

impl Batch for WriteBatch {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        Self::put(self, key, value);
    }

    fn delete(&mut self, key: &[u8]) {
        Self::delete(self, key);
    }

    fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        Self::delete_range(self, from, to);
    }
}

impl Disk for RocksDisk {
    type Batch = WriteBatch;

    fn write(&mut self, batch: WriteBatch) -> Result<(), Failure> {
        let base = self.base().ok_or_else(closed)?;
        if let Some(failure) = self.shared.damage() {
            return Err(failure);
        }
        base.db
            .write_opt(batch, &self.sync)
            .map_err(|error| match Failure::from(error) {
                Failure {
                    health: crate::Health::Damaged(text),
                    ..
                } => base.write_failed(text),
                failure => failure,
            })
    }

    fn few_rows(&self, from: &[u8], to: &[u8], limit: usize) -> Option<Vec<Vec<u8>>> {
        let base = self.base()?;
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::BlockCache);
        options.set_iterate_upper_bound(to);
        let mut rows = base.db.raw_iterator_opt(options);
        rows.seek(from);
        let mut keys = Vec::new();
        while let Some(key) = rows.key() {
            if keys.len() == limit {
                return None;
            }
            keys.push(key.to_vec());
            rows.next();
        }
        rows.status().is_ok().then_some(keys)
    }

    fn view(&self, stamp: Stamp, tables: &Arc<Tables>) -> Result<Arc<dyn View>, Failure> {
        let base = self.base().ok_or_else(closed)?;
        Ok(Arc::new(RocksView::take(base, stamp, tables.clone())))
    }

    fn probe(&mut self) -> Result<(), Failure> {
        self.probe_files().map_err(Failure::other)
    }

    fn reopen(&mut self, acknowledged: Stamp) -> Result<(), Failure> {
        self.close()?;
        let path = self.options.path.clone();
        let opened = verify::cut_after(&path, acknowledged)
            .and_then(|()| base::open_verified(&self.rocksdb, &path));
        match opened {
            Ok(db) => {
                self.open(db);
                Ok(())
            }
            Err(error) => {
                let failure = match error {
                    OpenError::Engine(error) => Failure::from(error),
                    error => Failure::other(error),
                };
                if let Err(error) = self.open_for_reading() {
                    tracing::error!(%error, "the database is closed until it can be opened again");
                }
                Err(failure)
            }
        }
    }
}

fn closed() -> Failure {
    Failure::other("the database is closed")
}
