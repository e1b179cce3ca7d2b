//! How rows are stored in RocksDB: the table's number (two bytes, big-endian), then the row's key.
//!
//! Number 0 is the engine's own table: `s` holds the stamp of the last commit, `t` and a table's
//! number hold its name, `c` and the first stamp after a restore hold the last one before it.
//! Numbers are given at a table's first write and never change.

use std::collections::HashMap;

use database::{Stamp, engine::Span};

use crate::error::OpenError;

pub(crate) const STAMP: &[u8] = &[0, 0, b's'];
const TABLE: &[u8] = &[0, 0, b't'];
const CUT: &[u8] = &[0, 0, b'c'];

/// The numbers of all tables that were ever written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    numbers: HashMap<Box<str>, u16>,
}

impl Tables {
    pub(crate) fn number(&self, table: &str) -> Option<u16> {
        self.numbers.get(table).copied()
    }

    /// The name of the table that a whole key belongs to.
    pub(crate) fn name_of(&self, whole_key: &[u8]) -> String {
        let Some(number) = whole_key
            .first_chunk()
            .map(|number| u16::from_be_bytes(*number))
        else {
            return "none".to_owned();
        };
        let name = self.numbers.iter().find(|(_, own)| **own == number);
        match (number, name) {
            (0, _) => "the engine's own".to_owned(),
            (_, Some((name, _))) => format!("`{name}`"),
            (_, None) => format!("number {number}"),
        }
    }

    /// Gives `table` the next number.
    pub(crate) fn add(&mut self, table: &str) -> u16 {
        let taken = self.numbers.values().max().copied().unwrap_or(0);
        let number = taken
            .checked_add(1)
            .expect("tables are declared in code, far fewer than 65k");
        self.numbers.insert(table.into(), number);
        number
    }

    pub(crate) fn load(db: &rocksdb::DB) -> Result<Self, OpenError> {
        let mut numbers = HashMap::new();
        for row in own_rows(db, TABLE) {
            let (key, name) = row?;
            let number = key
                .try_into()
                .map_err(|_| OpenError::Malformed("table number"))?;
            let name = String::from_utf8(name).map_err(|_| OpenError::Malformed("table name"))?;
            numbers.insert(name.into_boxed_str(), u16::from_be_bytes(number));
        }
        Ok(Self { numbers })
    }
}

/// Stamps after `last` and before `first` were given out by a database that is gone: this one was
/// restored from its backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) last: Stamp,
    pub(crate) first: Stamp,
}

impl Cut {
    /// Oldest first.
    pub(crate) fn load_all(db: &rocksdb::DB) -> Result<Vec<Self>, OpenError> {
        let mut cuts = Vec::new();
        for row in own_rows(db, CUT) {
            let (first, last) = row?;
            cuts.push(Self {
                first: read_stamp(&first)?,
                last: read_stamp(&last)?,
            });
        }
        Ok(cuts)
    }

    /// What a stamp means in a database with these cuts.
    pub(crate) fn clamp(cuts: &[Self], stamp: Stamp) -> Stamp {
        let newest_first = cuts.iter().rev();
        newest_first.fold(stamp, |stamp, cut| {
            if stamp > cut.last && stamp < cut.first {
                cut.last
            } else {
                stamp
            }
        })
    }

    pub(crate) fn put(self, batch: &mut rocksdb::WriteBatch) {
        batch.put(
            [CUT, &self.first.0.to_be_bytes()].concat(),
            self.last.0.to_be_bytes(),
        );
    }
}

/// The key of the row that holds a table's name.
pub(crate) fn table_row(number: u16) -> Vec<u8> {
    [TABLE, &number.to_be_bytes()].concat()
}

pub(crate) fn put_stamp(batch: &mut rocksdb::WriteBatch, stamp: Stamp) {
    batch.put(STAMP, stamp.0.to_be_bytes());
}

/// The last commit's stamp; a new database is at the start.
pub(crate) fn load_stamp(db: &rocksdb::DB) -> Result<Stamp, OpenError> {
    db.get(STAMP)?
        .map_or(Ok(Stamp::START), |raw| read_stamp(&raw))
}

/// Calls `with` with the whole key; usual ones need no allocation.
pub(crate) fn with_key<T>(number: u16, key: &[u8], with: impl FnOnce(&[u8]) -> T) -> T {
    let mut buffer = [0; 128];
    let length = key.len() + 2;
    let Some(whole) = buffer.get_mut(..length) else {
        return with(&whole_key(number, key));
    };
    whole[..2].copy_from_slice(&number.to_be_bytes());
    whole[2..].copy_from_slice(key);
    with(whole)
}

pub(crate) fn whole_key(number: u16, key: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(key.len() + 2);
    whole.extend_from_slice(&number.to_be_bytes());
    whole.extend_from_slice(key);
    whole
}

/// Both ends of a span as whole keys, the second left out.
pub(crate) fn whole_span(number: u16, span: &Span) -> (Vec<u8>, Vec<u8>) {
    let to = match &span.to {
        Some(to) => whole_key(number, to),
        None => table_end(number),
    };
    (whole_key(number, &span.from), to)
}

pub(crate) fn table_end(number: u16) -> Vec<u8> {
    number
        .checked_add(1)
        .map_or_else(|| vec![0xff; 3], |next| next.to_be_bytes().to_vec())
}

type OwnRow = Result<(Vec<u8>, Vec<u8>), rocksdb::Error>;

/// The engine's own rows under a prefix, without it.
fn own_rows(db: &rocksdb::DB, prefix: &'static [u8]) -> impl Iterator<Item = OwnRow> {
    let mut options = rocksdb::ReadOptions::default();
    options.set_iterate_range(rocksdb::PrefixRange(prefix));
    let rows = db.iterator_opt(rocksdb::IteratorMode::Start, options);
    rows.map(move |row| row.map(|(key, value)| (key[prefix.len()..].to_vec(), value.into_vec())))
}

fn read_stamp(raw: &[u8]) -> Result<Stamp, OpenError> {
    let bytes = raw.try_into().map_err(|_| OpenError::Malformed("stamp"))?;
    Ok(Stamp(u64::from_be_bytes(bytes)))
}
