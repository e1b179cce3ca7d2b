//! Checking a database that nobody has open, and repairing its logs.
//!
//! A log that is damaged before its end holds acknowledged commits that cannot be read, and others
//! after them that cannot be applied without them. The server refuses such a database; a repair
//! gives up what cannot be applied, in a copy, and keeps the original beside it.

use std::{
    ffi::CString,
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use database::{Clock, Stamp};
use rocksdb::{DB, ReadOptions};

use crate::{
    backup::{self, Restored, cut},
    base::lock_folder,
    error::OpenError,
    identity::{self, Identity},
    layout::Tables,
    options::Options,
    verify::{Log, Torn, first_damage, read_logs, read_manifest, verify_tables},
    view::shown,
};

/// What a check has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Rows that were read.
    pub rows: u64,
    /// What is wrong, one line each; empty for a database in order.
    pub findings: Vec<String>,
    /// What a repair would give up, where the logs are damaged.
    pub repair: Option<Repair>,
    /// A record at the end that was never acknowledged; the next start drops it.
    pub torn: Option<Torn>,
}

/// The damage of the logs, as a repair would deal with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    pub log: PathBuf,
    /// Everything before this byte is kept.
    pub at: u64,
    /// Groups of commits in this log before it.
    pub kept: u64,
    /// Groups of commits that can be found after it, in this log and later ones; there may be more.
    pub lost: u64,
}

/// What a repair has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    pub repair: Repair,
    /// The stamps, as after a restore.
    pub restored: Restored,
    /// Where the damaged database is now, unchanged.
    pub original: PathBuf,
}

/// Looks at every file and reads every row; changes nothing.
pub fn check(options: &Options) -> Result<Checked, OpenError> {
    let folder = &options.path;
    require_ours(options)?;
    let _lock = lock_folder(folder)?;
    let mut checked = Checked::default();
    let manifest = match read_manifest(folder) {
        Ok(manifest) => manifest,
        Err(OpenError::Damaged { reason, .. }) => {
            checked.findings.push(reason);
            return Ok(checked);
        }
        Err(error) => return Err(error),
    };
    match verify_tables(folder, &manifest) {
        Err(OpenError::Damaged { reason, .. }) => checked.findings.push(reason),
        other => other?,
    }
    let logs = read_logs(folder, &manifest)?;
    if let Some((index, reason)) = first_damage(&logs, &manifest) {
        checked.findings.push(reason);
        checked.repair = Some(Repair::of(&logs, index));
    }
    match crate::verify::verify(&options.rocksdb(), folder) {
        Ok(torn) => checked.torn = torn,
        Err(OpenError::Damaged { reason, .. }) if checked.findings.is_empty() => {
            checked.findings.push(reason);
        }
        Err(OpenError::Damaged { .. }) => {}
        Err(error) => return Err(error),
    }
    match DB::open_for_read_only(&options.rocksdb(), folder, false) {
        Ok(db) => read_rows(&db, &mut checked)?,
        Err(error) if checked.findings.is_empty() => checked.findings.push(error.into_string()),
        Err(_) => {}
    }
    Ok(checked)
}

/// Every row of every table file and log. After a block that cannot be read it goes on where the
/// next table file begins or ends, so some rows in between may not be looked at.
fn read_rows(db: &DB, checked: &mut Checked) -> Result<(), OpenError> {
    // Without the names of tables, their numbers are shown.
    let tables = Tables::load(db).unwrap_or_default();
    let files = db.live_files()?;
    let ends = files
        .into_iter()
        .flat_map(|file| [file.start_key, file.end_key]);
    let mut resume: Vec<Vec<u8>> = ends.flatten().collect();
    resume.sort_unstable();
    let mut resume = resume.into_iter();
    let mut from: Vec<u8> = Vec::new();
    loop {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        options.set_readahead_size(1 << 20);
        let mut rows = db.raw_iterator_opt(options);
        rows.seek(&from);
        while let Some(key) = rows.key() {
            from.clear();
            from.extend_from_slice(key);
            checked.rows += 1;
            rows.next();
        }
        let Err(error) = rows.status() else {
            return Ok(());
        };
        let text = error.into_string();
        if !checked
            .findings
            .iter()
            .any(|finding| finding.contains(&text))
        {
            let place = match from.get(2..) {
                Some(key) => format!(
                    "after row {} of table {}",
                    shown(key),
                    tables.name_of(&from)
                ),
                None => "before the first row".to_owned(),
            };
            checked.findings.push(format!("unreadable {place}: {text}"));
        }
        match resume.find(|key| *key > from) {
            Some(next) => from = next,
            None => return Ok(()),
        }
    }
}

impl Repair {
    fn of(logs: &[Log], index: usize) -> Self {
        let log = &logs[index];
        let later: u64 = logs[index + 1..].iter().map(|log| log.records).sum();
        Self {
            log: log.path.clone(),
            // A log that does not follow the one before it is given up whole.
            at: if log.is_cut { log.end } else { 0 },
            kept: if log.is_cut { log.records } else { 0 },
            lost: later + log.followed_by as u64 + if log.is_cut { 0 } else { log.records },
        }
    }
}

/// Makes a copy without what follows the first damage of the logs, and puts it in the place of the
/// database, which is kept as `FOLDER.damaged`. Stamps are not used again, as after a restore, and
/// the tables of `clear` come back empty: what may be used once only, and may have been. `None` if
/// the logs are in order.
pub fn repair_logs(
    options: &Options,
    clear: &[&str],
    clock: &dyn Clock,
) -> Result<Option<Repaired>, OpenError> {
    let folder = &options.path;
    let server_name = require_ours(options)?;
    let _lock = lock_folder(folder)?;
    let manifest = read_manifest(folder)?;
    verify_tables(folder, &manifest)?;
    let logs = read_logs(folder, &manifest)?;
    let Some((index, _)) = first_damage(&logs, &manifest) else {
        return Ok(None);
    };
    let repair = Repair::of(&logs, index);
    let original = beside(folder, ".damaged");
    if original.exists() {
        return Err(OpenError::Occupied(original));
    }
    let draft = beside(folder, ".repairing");
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(OpenError::at(&draft))?;
    }
    fs::create_dir(&draft).map_err(OpenError::at(&draft))?;
    backup::copy_files(folder, &draft)?;
    give_up(&draft, &logs[index..], repair.at)?;
    // Stamps up to here may have been given out.
    let used = logs
        .iter()
        .filter_map(|log| log.stamp)
        .max()
        .unwrap_or(Stamp::START);
    let mut rocksdb = options.rocksdb();
    // The sizes of logs that the MANIFEST has are those from before.
    rocksdb.set_track_and_verify_wals_in_manifest(false);
    let restored = cut(&rocksdb, &draft, clear, used, clock)?;
    identity::write(
        &draft,
        options.server_name.as_deref().or(server_name.as_deref()),
    )?;
    exchange(folder, &draft)?;
    fs::rename(&draft, &original).map_err(OpenError::at(&original))?;
    backup::sync_parent(folder)?;
    Ok(Some(Repaired {
        repair,
        restored,
        original,
    }))
}

fn require_ours(options: &Options) -> Result<Option<String>, OpenError> {
    match identity::check_server(&options.path, options.server_name.as_deref())? {
        Identity::Ours { server_name } => Ok(server_name),
        Identity::Empty => Err(OpenError::Foreign(options.path.clone())),
    }
}

/// Cuts the first log off at `at` and removes the others.
fn give_up(draft: &Path, logs: &[Log], at: u64) -> Result<(), OpenError> {
    for (index, log) in logs.iter().enumerate() {
        let path = draft.join(log.name());
        let give_up = || {
            if index > 0 {
                return fs::remove_file(&path);
            }
            let file = fs::OpenOptions::new().write(true).open(&path)?;
            file.set_len(at)?;
            file.sync_all()
        };
        give_up().map_err(OpenError::at(&path))?;
    }
    Ok(())
}

fn beside(folder: &Path, end: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Swaps two folders in one step, so that there is always a database in its place.
fn exchange(folder: &Path, other: &Path) -> Result<(), OpenError> {
    let c_path = |path: &Path| {
        CString::new(path.as_os_str().as_bytes()).map_err(|error| OpenError::at(path)(error.into()))
    };
    let (from, to) = (c_path(other)?, c_path(folder)?);
    // SAFETY: both are strings that end with a zero byte and live until after the call.
    #[expect(unsafe_code, reason = "the standard library cannot exchange folders")]
    let result = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            from.as_ptr(),
            libc::AT_FDCWD,
            to.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(OpenError::at(folder)(io::Error::last_os_error()))
    }
}
