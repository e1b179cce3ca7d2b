//! What is found at start, before RocksDB may change anything: whether each file that belongs to
//! the database is there, and whole as far as that is known without reading all rows.
//!
//! RocksDB opens a database whose log is damaged, and drops what comes after the damage; it makes a
//! new database where CURRENT is missing; it does not miss its newest log. All of that would lose
//! acknowledged commits without a word, so it is an error here that names the file. The one thing
//! that is left out is a record at the very end of the newest log: it was being written when the
//! process or the machine stopped, and nobody got an answer for it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use database::Stamp;
use rocksdb::DB;

use crate::{
    error::OpenError,
    layout::{Cut, Tables, load_stamp},
    log_file::{Records, records_after},
    manifest::{Manifest, Unreadable},
    witness,
};

/// An end of a log that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    pub log: PathBuf,
    /// The last whole record ends here.
    pub at: u64,
    /// Bytes after it.
    pub bytes: u64,
}

/// One log, with what its records say.
pub(crate) struct Log {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    pub(crate) records: u64,
    /// Where the last readable record ends.
    pub(crate) end: u64,
    /// The first and the next sequence number; RocksDB numbers all writes without gaps.
    pub(crate) sequences: Option<(u64, u64)>,
    /// Whether something follows the readable records.
    pub(crate) is_cut: bool,
    /// How many records follow what cannot be read.
    pub(crate) followed_by: usize,
    /// The greatest stamp in it, those after the damage included as far as they can be read.
    pub(crate) stamp: Option<Stamp>,
}

/// Looks at all files and opens the database without writing. Returns the end that the last crash
/// has cut off, if any.
pub(crate) fn verify(options: &rocksdb::Options, folder: &Path) -> Result<Option<Torn>, OpenError> {
    let manifest = read_manifest(folder)?;
    verify_tables(folder, &manifest)?;
    let torn = verify_logs(folder, &manifest)?;
    let damaged = |error: rocksdb::Error| {
        let text = error.into_string();
        // RocksDB does not always name the table file whose end it cannot read.
        let reason = match manifest.tables.len() {
            count if count > 0 && !text.contains(".sst") && !text.contains(".log") => {
                format!("{text} (perhaps one of its {count} table files)")
            }
            _ => text,
        };
        OpenError::damaged(folder, reason)
    };
    // Whatever else RocksDB would complain about, before it opens the folder for writing.
    let db = DB::open_for_read_only(options, folder, false).map_err(damaged)?;
    let reached = own_rows(&db).map_err(|error| OpenError::damaged(folder, error))?;
    drop(db);
    if let Some(closed_at) = witness::read(folder)?
        && reached < closed_at
    {
        let reason = format!(
            "its logs end with commit {}, and {} names {} from when it was closed",
            reached.0,
            witness::FILE,
            closed_at.0
        );
        return Err(OpenError::damaged(folder, reason));
    }
    Ok(torn)
}

/// Reads the engine's own rows, all of which are needed at start.
fn own_rows(db: &DB) -> Result<Stamp, OpenError> {
    Tables::load(db)?;
    Cut::load_all(db)?;
    load_stamp(db)
}

pub(crate) fn read_manifest(folder: &Path) -> Result<Manifest, OpenError> {
    let damaged = |reason: String| OpenError::damaged(folder, reason);
    let current = folder.join("CURRENT");
    let name = match fs::read_to_string(&current) {
        Ok(name) => name,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged("the file CURRENT is missing".to_owned()));
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return Err(damaged("the file CURRENT names no MANIFEST".to_owned()));
        }
        Err(error) => return Err(OpenError::at(current)(error)),
    };
    let number = name
        .strip_suffix('\n')
        .and_then(|name| name.strip_prefix("MANIFEST-"));
    let is_name = number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    if !is_name {
        return Err(damaged("the file CURRENT names no MANIFEST".to_owned()));
    }
    let name = name.trim_end();
    let path = folder.join(name);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damaged(format!(
                "the file {name}, which CURRENT names, is missing"
            )));
        }
        Err(error) => return Err(OpenError::at(path)(error)),
    };
    if bytes.is_empty() {
        return Err(damaged(format!("the file {name} is empty")));
    }
    Manifest::read(&bytes)
        .map_err(|Unreadable(at)| damaged(format!("the file {name} is unreadable at byte {at}")))
}

pub(crate) fn verify_tables(folder: &Path, manifest: &Manifest) -> Result<(), OpenError> {
    for (number, size) in &manifest.tables {
        let name = format!("{number:06}.sst");
        let reason = match fs::metadata(folder.join(&name)) {
            Ok(data) if data.len() == *size => continue,
            Ok(data) => format!("the file {name} has {} bytes instead of {size}", data.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                format!("the file {name} is missing")
            }
            Err(error) => return Err(OpenError::at(folder.join(&name))(error)),
        };
        return Err(OpenError::damaged(folder, reason));
    }
    Ok(())
}

fn verify_logs(folder: &Path, manifest: &Manifest) -> Result<Option<Torn>, OpenError> {
    let logs = read_logs(folder, manifest)?;
    if logs.is_empty() {
        let reason = format!(
            "the log {:06}.log, or a later one, is missing",
            manifest.first_log
        );
        return Err(OpenError::damaged(folder, reason));
    }
    match first_damage(&logs, manifest) {
        Some((_, reason)) => Err(OpenError::damaged(folder, reason)),
        None => Ok(torn_end(&logs)),
    }
}

/// The log at which acknowledged commits are missing, as an index, and why.
pub(crate) fn first_damage(logs: &[Log], manifest: &Manifest) -> Option<(usize, String)> {
    // Where the readable records so far end, and in which log.
    let mut next = manifest.last_sequence + 1;
    let mut cut: Option<usize> = None;
    for (index, log) in logs.iter().enumerate() {
        if log.followed_by > 0 {
            let reason = format!(
                "the log {} is unreadable from byte {} on, and {} more commits or groups of \
                 commits follow there; `aqueduct check` shows what can be kept",
                log.name(),
                log.end,
                log.followed_by
            );
            return Some((index, reason));
        }
        if let Some((first, end)) = log.sequences {
            if first > next {
                // What follows a cut-off end has to follow it without a gap.
                return Some(match cut {
                    Some(cut) => {
                        let name = logs[cut].name();
                        let at = logs[cut].end;
                        (
                            cut,
                            format!("the log {name} is unreadable from byte {at} on"),
                        )
                    }
                    None => (
                        index,
                        format!(
                            "a log before {}, or the end of the MANIFEST, is missing",
                            log.name()
                        ),
                    ),
                });
            }
            next = next.max(end);
            cut = None;
        }
        if log.is_cut {
            cut = Some(index);
        }
    }
    None
}

/// Once there is no damage, a cut-off end is that of the newest log with anything in it.
fn torn_end(logs: &[Log]) -> Option<Torn> {
    let log = logs.iter().rev().find(|log| log.is_cut)?;
    Some(Torn {
        log: log.path.clone(),
        at: log.end,
        bytes: log.size - log.end,
    })
}

/// The logs that are not obsolete, oldest first.
pub(crate) fn read_logs(folder: &Path, manifest: &Manifest) -> Result<Vec<Log>, OpenError> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder).map_err(OpenError::at(folder))? {
        let name = entry.map_err(OpenError::at(folder))?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(".log")?.parse().ok());
        numbers.extend(number.filter(|number: &u64| *number >= manifest.first_log));
    }
    numbers.sort_unstable();
    numbers
        .into_iter()
        .map(|number| Log::read(folder, number))
        .collect()
}

impl Log {
    fn read(folder: &Path, number: u64) -> Result<Self, OpenError> {
        let path = folder.join(format!("{number:06}.log"));
        let bytes = fs::read(&path).map_err(OpenError::at(&path))?;
        let mut log = Self {
            number,
            path,
            size: bytes.len() as u64,
            records: 0,
            end: 0,
            sequences: None,
            is_cut: false,
            followed_by: 0,
            stamp: None,
        };
        let mut records = Records::new(&bytes);
        for record in records.by_ref() {
            log.records += 1;
            log.end = record.place.end as u64;
            if let Some((first, count)) = batch_header(&record.content) {
                let begin = log.sequences.map_or(first, |(begin, _)| begin);
                log.sequences = Some((begin, first + count));
            }
            log.stamp = batch_stamp(&record.content).max(log.stamp);
        }
        if let Some(damage) = records.damage() {
            log.is_cut = true;
            let next = log.sequences.map_or(0, |(_, next)| next);
            // A sequence number that fits keeps a value that looks like a record from being one.
            let is_later = |content: &[u8]| {
                batch_header(content)
                    .is_some_and(|(first, _)| first >= next && first - next < 1 << 32)
            };
            log.followed_by = records_after(&bytes, damage, is_later);
        }
        Ok(log)
    }

    pub(crate) fn name(&self) -> String {
        format!("{:06}.log", self.number)
    }
}

/// First sequence number and count of a batch's writes.
pub(crate) fn batch_header(content: &[u8]) -> Option<(u64, u64)> {
    let (first, rest) = content.split_first_chunk()?;
    let (count, _) = rest.split_first_chunk()?;
    Some((
        u64::from_le_bytes(*first),
        u64::from(u32::from_le_bytes(*count)),
    ))
}

/// The stamp of a batch: the committer writes it last.
pub(crate) fn batch_stamp(content: &[u8]) -> Option<Stamp> {
    /// A put, the length of the key, the key `layout::STAMP`, the length of a stamp.
    const BEFORE: [u8; 6] = [1, 3, 0, 0, b's', 8];
    let (rest, stamp) = content.split_last_chunk()?;
    rest.ends_with(&BEFORE)
        .then(|| Stamp(u64::from_be_bytes(*stamp)))
}

/// Cuts off the records after the commit of `stamp`: they were answered as failures. The database
/// must be closed. Durable when it returns.
pub(crate) fn cut_after(folder: &Path, stamp: Stamp) -> Result<(), OpenError> {
    for log in read_logs(folder, &read_manifest(folder)?)? {
        let bytes = fs::read(&log.path).map_err(OpenError::at(&log.path))?;
        let is_later = |content: &[u8]| batch_stamp(content).is_some_and(|later| later > stamp);
        let mut records = Records::new(&bytes);
        let later = records.find(|record| is_later(&record.content));
        let Some(end) = later.map(|record| record.place.start).or(records.damage()) else {
            continue;
        };
        let cut = || {
            let file = fs::OpenOptions::new().write(true).open(&log.path)?;
            file.set_len(end as u64)?;
            file.sync_all()
        };
        cut().map_err(OpenError::at(&log.path))?;
    }
    Ok(())
}
