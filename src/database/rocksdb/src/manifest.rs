//! RocksDB's MANIFEST, as far as it says which files belong to the database. RocksDB drops the end
//! of a damaged one without a word; with it may go the record of a table file, whose log is gone
//! already.

use std::collections::BTreeMap;

use crate::log_file::Records;

const COMPARATOR: u64 = 1;
const LOG_NUMBER: u64 = 2;
const NEXT_FILE: u64 = 3;
const LAST_SEQUENCE: u64 = 4;
const COMPACT_CURSOR: u64 = 5;
const DELETED_FILE: u64 = 6;
const PREVIOUS_LOG: u64 = 9;
const MIN_LOG_TO_KEEP: u64 = 10;
const NEW_FILE: u64 = 103;
const MAX_COLUMN_FAMILY: u64 = 203;
const ATOMIC_GROUP: u64 = 300;
/// Fields with this bit have a length in front.
const SELF_CONTAINED: u64 = 1 << 13;
/// Ends the named fields of a new file.
const END_OF_FILE_FIELDS: u64 = 1;

/// The database's files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// Logs of lower numbers are obsolete.
    pub(crate) first_log: u64,
    /// All writes up to this one are in table files or in logs; those in logs follow it closely.
    pub(crate) last_sequence: u64,
    /// Table files and their sizes.
    pub(crate) tables: BTreeMap<u64, u64>,
}

/// Where the MANIFEST cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable(pub(crate) usize);

impl Manifest {
    /// `Err` for a record that is damaged or not known; a cut-off end is left out, as by RocksDB.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut manifest = Self::default();
        let mut records = Records::new(bytes);
        for record in records.by_ref() {
            let start = record.place.start;
            let mut edit = Edit(&record.content);
            manifest.apply(&mut edit).ok_or(Unreadable(start))?;
        }
        match records.damage() {
            Some(at) if crate::log_file::records_after(bytes, at, |_| true) > 0 => {
                Err(Unreadable(at))
            }
            _ => Ok(manifest),
        }
    }

    /// `None` where a field is malformed, or of a kind that this engine does not use.
    fn apply(&mut self, edit: &mut Edit<'_>) -> Option<()> {
        let mut added = Vec::new();
        while !edit.0.is_empty() {
            match edit.number()? {
                LOG_NUMBER => self.first_log = self.first_log.max(edit.number()?),
                LAST_SEQUENCE => self.last_sequence = self.last_sequence.max(edit.number()?),
                NEXT_FILE | PREVIOUS_LOG | MIN_LOG_TO_KEEP | MAX_COLUMN_FAMILY | ATOMIC_GROUP => {
                    edit.number()?;
                }
                COMPARATOR => {
                    edit.bytes()?;
                }
                COMPACT_CURSOR => {
                    edit.number()?;
                    edit.bytes()?;
                }
                DELETED_FILE => {
                    edit.number()?;
                    self.tables.remove(&edit.number()?);
                }
                NEW_FILE => added.push(edit.new_file()?),
                tag if tag & SELF_CONTAINED != 0 => {
                    edit.bytes()?;
                }
                _ => return None,
            }
        }
        // A file that moves to another level is deleted and added in one record.
        self.tables.extend(added);
        Some(())
    }
}

/// What is left of one record.
struct Edit<'a>(&'a [u8]);

impl<'a> Edit<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    /// Number and size of a table file.
    fn new_file(&mut self) -> Option<(u64, u64)> {
        let _level = self.number()?;
        let file = (self.number()?, self.number()?);
        let _smallest = self.bytes()?;
        let _largest = self.bytes()?;
        let _sequences = (self.number()?, self.number()?);
        while self.number()? != END_OF_FILE_FIELDS {
            self.bytes()?;
        }
        Some(file)
    }
}
