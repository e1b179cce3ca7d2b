//! The contract of an engine: bytes only, object-safe, and small enough for a distributed store.

use std::{ops::Bound, pin::Pin, sync::Arc};

use tokio::sync::watch;

use crate::{
    error::Result,
    stamp::{Slot, Stamp},
};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// Encoded keys and values.
pub type Raw = Vec<u8>;

/// The address of one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    pub table: &'static str,
    pub key: Raw,
}

/// Keys of one table from `from` (included) up to `to` (left out); no `to` is the table's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    pub table: &'static str,
    pub from: Raw,
    pub to: Option<Raw>,
}

impl Span {
    pub fn holds(&self, table: &str, key: &[u8]) -> bool {
        self.table == table
            && key >= self.from.as_slice()
            && self.to.as_ref().is_none_or(|to| key < to.as_slice())
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        let below = |from: &Raw, to: &Option<Raw>| to.as_ref().is_none_or(|to| from < to);
        self.table == other.table
            && below(&self.from, &other.to)
            && below(&other.from, &self.to)
            && !self.is_empty()
            && !other.is_empty()
    }

    pub fn is_empty(&self) -> bool {
        self.to.as_ref().is_some_and(|to| *to <= self.from)
    }

    /// For `BTreeMap::range`, which panics on an empty span: check that first.
    pub fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let to = self.to.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        (Bound::Included(self.from.as_slice()), to)
    }

    /// Narrows the span to the keys after `last` in the given order.
    pub fn skip_past(&mut self, last: &[u8], order: Order) {
        match order {
            Order::Forward => self.from = just_after(last),
            Order::Backward => self.to = Some(last.to_vec()),
        }
    }

    /// Narrows the span to the keys up to and including `last` in the given order.
    pub fn end_with(&mut self, last: &[u8], order: Order) {
        match order {
            Order::Forward => self.to = Some(just_after(last)),
            Order::Backward => self.from = last.to_vec(),
        }
    }
}

/// The first key after `key`.
pub fn just_after(key: &[u8]) -> Raw {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// The first key that does not start with `prefix`; `None` where there is none.
pub fn successor(prefix: &[u8]) -> Option<Raw> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Forward,
    Backward,
}

#[derive(Clone, Debug)]
pub enum Write {
    Put(Address, Raw),
    Delete(Address),
    /// The key is completed with the position of this slot.
    Append(Address, Raw, Slot),
    /// The value is completed with the position of this slot.
    PutPlaced(Address, Raw, Slot),
}

impl Write {
    /// The row as it is stored by the commit of `stamp`; no value is a deletion.
    pub fn finish(self, stamp: Stamp) -> (Address, Option<Raw>) {
        match self {
            Self::Put(at, value) => (at, Some(value)),
            Self::Delete(at) => (at, None),
            Self::Append(mut at, value, slot) => {
                at.key.extend_from_slice(&slot.at(stamp).to_bytes());
                (at, Some(value))
            }
            Self::PutPlaced(at, mut value, slot) => {
                value.extend_from_slice(&slot.at(stamp).to_bytes());
                (at, Some(value))
            }
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Put(at, value) | Self::Append(at, value, _) | Self::PutPlaced(at, value, _) => {
                at.key.len() + value.len()
            }
            Self::Delete(at) => at.key.len(),
        }
    }
}

/// A commit that may wait (`WithNext`, 100 ms at most) is written with the next group that syncs,
/// and published with it: everything visible is on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    #[default]
    Now,
    WithNext,
}

/// `clears` go first, then `writes`, no two of them to one address.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Stamp of the view that the reads were made on.
    pub since: Stamp,
    /// Rows that were read one by one.
    pub points: Vec<Address>,
    /// Rows that were read as ranges, as far as they were looked at.
    pub spans: Vec<Span>,
    pub clears: Vec<Span>,
    pub writes: Vec<Write>,
    pub durability: Durability,
}

impl Commit {
    /// Approximate memory of the commit while it waits, in bytes.
    pub fn weight(&self) -> usize {
        const EACH: usize = 64;
        let points: usize = self.points.iter().map(|at| at.key.len() + EACH).sum();
        let writes: usize = self.writes.iter().map(|write| write.size() + EACH).sum();
        let spans = self.spans.iter().chain(&self.clears);
        let spans: usize = spans.map(|span| 2 * (span.from.len() + EACH)).sum();
        512 + points + writes + spans
    }
}

/// Whether a row could be read without waiting for a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    Found,
    Absent,
    /// Not in memory: ask again with the asynchronous call.
    Cold,
}

/// How far a scan came without waiting for a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The limit is met or the span is at its end.
    Done,
    /// Go on with the asynchronous call, past this key, or from the start if there is none.
    Cold(Option<Raw>),
}

pub trait Engine: Send + Sync {
    /// The newest published view. Cheap: readers share it.
    fn snapshot(&self) -> Arc<dyn View>;

    /// All of it, atomically and on disk, or `Conflict`: rows that it read changed after `since`,
    /// also by an earlier commit of the same group; or `since` is older than the engine remembers.
    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Stamp>>;

    /// The stamp of the newest published view, to be watched.
    fn published(&self) -> watch::Receiver<Stamp>;

    /// A stamp that was given out before this database was restored from a backup, and was lost
    /// by it, becomes the last one of that backup; others stay.
    fn clamp(&self, stamp: Stamp) -> Stamp {
        stamp
    }
}

/// The database as of one stamp.
pub trait View: Send + Sync {
    fn stamp(&self) -> Stamp;

    /// Passes the value to `found` if it can be read without a disk.
    fn get_now(&self, table: &'static str, key: &[u8], found: &mut dyn FnMut(&[u8]))
    -> Result<Now>;

    /// Values in the order of `keys`.
    fn get<'a>(
        &'a self,
        table: &'static str,
        keys: &'a [Raw],
    ) -> BoxFuture<'a, Result<Vec<Option<Raw>>>>;

    /// Passes at most `limit` rows to `row`, as far as they can be read without a disk.
    fn scan_now(
        &self,
        span: &Span,
        order: Order,
        limit: usize,
        row: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Scan>;

    fn scan<'a>(
        &'a self,
        span: &'a Span,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(Raw, Raw)>>>;
}
