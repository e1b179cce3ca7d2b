//! Backups of a live database, and their restoration.
//!
//! A restored database never gives out a stamp that the lost one may have given out: its first one
//! comes from the clock. The gap is recorded as a cut, and stamps from inside it are read as the
//! backup's last one.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use database::{Clock, Stamp};
use rocksdb::{DB, WriteBatch, WriteOptions, checkpoint::Checkpoint};
use tokio_util::task::TaskTracker;

use crate::{
    base::open_db,
    error::OpenError,
    identity::{self, Identity},
    layout::{Cut, Tables, load_stamp, put_stamp, table_end, whole_key},
    options::Options,
};

/// What to restore, and where to.
#[derive(Clone, Debug)]
pub struct Restore {
    pub backup: PathBuf,
    /// Must not exist, or be empty.
    pub to: PathBuf,
    /// The server that restores; the backup of another one is refused. `None` takes any.
    pub server_name: Option<String>,
    /// Tables that come back empty: what may be used once only, and may have been since.
    pub clear: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The backup's last commit.
    pub last: Stamp,
    /// The stamp of the first commit from now on.
    pub first: Stamp,
}

pub(crate) fn checkpoint(
    db: &DB,
    folder: &Path,
    server_name: Option<&str>,
) -> Result<(), OpenError> {
    if folder.exists() {
        return Err(OpenError::Occupied(folder.to_owned()));
    }
    if let Some(parent) = parent(folder) {
        fs::create_dir_all(parent).map_err(OpenError::at(parent))?;
    }
    Checkpoint::new(db)?.create_checkpoint(folder)?;
    // Last of all: without it the folder is no database, so half a backup is never restored.
    identity::write(folder, server_name)?;
    sync_parent(folder)
}

/// The checkpoint to return to if a migration turns out badly; `stamp` is the database's last
/// commit. A complete one of this moment is used: it is there if the process was killed after it
/// was made and before the migration began. The remains of an incomplete one are replaced.
pub(crate) fn checkpoint_before(
    db: &DB,
    folder: &Path,
    server_name: Option<&str>,
    stamp: Stamp,
) -> Result<(), OpenError> {
    if folder.exists() {
        match identity::check(folder) {
            Ok(Identity::Ours { .. }) if stamp_of(folder)? == stamp => return Ok(()),
            Ok(Identity::Empty) | Err(OpenError::Foreign(_)) if is_incomplete(folder)? => {
                fs::remove_dir_all(folder).map_err(OpenError::at(folder))?;
            }
            Ok(Identity::Ours { .. } | Identity::Empty) => {
                return Err(OpenError::Occupied(folder.to_owned()));
            }
            Err(error) => return Err(error),
        }
    }
    checkpoint(db, folder, server_name)
}

/// The last commit of a database that nobody has open.
fn stamp_of(folder: &Path) -> Result<Stamp, OpenError> {
    let options = Options::new(folder, TaskTracker::new()).rocksdb();
    load_stamp(&DB::open_for_read_only(&options, folder, false)?)
}

/// Whether a folder without identity holds nothing but what RocksDB puts into a checkpoint.
fn is_incomplete(folder: &Path) -> Result<bool, OpenError> {
    for entry in fs::read_dir(folder).map_err(OpenError::at(folder))? {
        let name = entry.map_err(OpenError::at(folder))?.file_name();
        let name = name.to_string_lossy();
        let is_known = name == "CURRENT"
            || [".sst", ".log"].iter().any(|end| name.ends_with(end))
            || ["MANIFEST-", "OPTIONS-", "AQUEDUCT."]
                .iter()
                .any(|start| name.starts_with(start));
        if !is_known {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Copies a backup to where a server will open it; neither may be open. Until it is complete it
/// has another name, so an interrupted one leaves no database behind and can be run again.
pub fn restore(restore: &Restore, clock: &dyn Clock) -> Result<Restored, OpenError> {
    let expected = restore.server_name.as_deref();
    let Identity::Ours { server_name } = identity::check_server(&restore.backup, expected)? else {
        return Err(OpenError::Foreign(restore.backup.clone()));
    };
    let to = &restore.to;
    if !identity::is_empty(to).map_err(OpenError::at(to))? {
        return Err(OpenError::Occupied(to.clone()));
    }
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    let draft = to.with_file_name(name);
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(OpenError::at(&draft))?;
    }
    fs::create_dir_all(&draft).map_err(OpenError::at(&draft))?;
    copy_files(&restore.backup, &draft)?;
    let options = Options::new(&draft, TaskTracker::new()).rocksdb();
    let restored = cut(&options, &draft, &restore.clear, Stamp::START, clock)?;
    identity::write(&draft, expected.or(server_name.as_deref()))?;
    if to.exists() {
        fs::remove_dir_all(to).map_err(OpenError::at(to))?;
    }
    fs::rename(&draft, to).map_err(OpenError::at(to))?;
    sync_parent(to)?;
    Ok(restored)
}

/// Gives the copy its new first stamp, after those up to `used`, which were given out as well.
pub(crate) fn cut(
    options: &rocksdb::Options,
    folder: &Path,
    clear: &[&str],
    used: Stamp,
    clock: &dyn Clock,
) -> Result<Restored, OpenError> {
    let db = open_db(options, folder)?;
    let reached = load_stamp(&db)?;
    // Right after an earlier restore what was reached is a stamp that nothing has.
    let last = Cut::clamp(&Cut::load_all(&db)?, reached);
    let by_clock = Stamp::START
        .0
        .saturating_add(clock.now().0.saturating_mul(1 << 20));
    let first = Stamp(by_clock.max(reached.0 + 1).max(used.0 + 1));
    let tables = Tables::load(&db)?;
    let mut batch = WriteBatch::default();
    for number in clear.iter().filter_map(|table| tables.number(table)) {
        batch.delete_range(whole_key(number, &[]), table_end(number));
    }
    Cut { last, first }.put(&mut batch);
    put_stamp(&mut batch, Stamp(first.0 - 1));
    let mut sync = WriteOptions::default();
    sync.set_sync(true);
    db.write_opt(batch, &sync)?;
    Ok(Restored { last, first })
}

/// A database is a flat folder. The identity is not copied: it comes when all is done.
pub(crate) fn copy_files(from: &Path, to: &Path) -> Result<(), OpenError> {
    for entry in fs::read_dir(from).map_err(OpenError::at(from))? {
        let entry = entry.map_err(OpenError::at(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if identity::is_identity(&entry.file_name()) || source.is_dir() {
            continue;
        }
        let copy = || -> io::Result<()> {
            fs::copy(&source, &target)?;
            File::open(&target)?.sync_all()
        };
        copy().map_err(OpenError::at(&source))?;
    }
    Ok(())
}

pub(crate) fn sync_parent(path: &Path) -> Result<(), OpenError> {
    let folder = parent(path).unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(OpenError::at(folder))
}

fn parent(path: &Path) -> Option<&Path> {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
}
