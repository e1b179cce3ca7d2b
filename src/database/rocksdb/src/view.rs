//! The database as of one stamp. Reads try memory first (memtables and block cache), inline; cold
//! and long ones run on a thread that may wait.

use std::sync::Arc;

use database::{
    Order, Stamp, StoreError,
    engine::{BoxFuture, Now, Raw, Scan, Span, View},
};
use rocksdb::{ErrorKind, ReadOptions, ReadTier};

use crate::{
    base::Base,
    layout::{Tables, whole_key, whole_span, with_key},
    snapshot::OwnedSnapshot,
};

/// An inline scan that reaches one of these continues on another thread, to yield to other tasks.
const INLINE_ROWS: usize = 512;
const INLINE_BYTES: usize = 256 << 10;

pub(crate) struct RocksView {
    inner: Arc<Inner>,
}

struct Inner {
    stamp: Stamp,
    tables: Arc<Tables>,
    /// For reads that must not wait; belongs to `snapshot`, so it is dropped first.
    warm: ReadOptions,
    /// The same for reads that may.
    cold: ReadOptions,
    snapshot: OwnedSnapshot,
}

impl RocksView {
    pub(crate) fn take(base: Arc<Base>, stamp: Stamp, tables: Arc<Tables>) -> Self {
        let snapshot = OwnedSnapshot::take(base);
        let warm = read_options(&snapshot, ReadTier::BlockCache);
        let cold = read_options(&snapshot, ReadTier::All);
        Self {
            inner: Arc::new(Inner {
                stamp,
                tables,
                warm,
                cold,
                snapshot,
            }),
        }
    }
}

fn read_options(snapshot: &OwnedSnapshot, tier: ReadTier) -> ReadOptions {
    let mut options = ReadOptions::default();
    snapshot.set_on(&mut options);
    options.set_read_tier(tier);
    options
}

impl View for RocksView {
    fn stamp(&self) -> Stamp {
        self.inner.stamp
    }

    fn get_now(
        &self,
        table: &'static str,
        key: &[u8],
        found: &mut dyn FnMut(&[u8]),
    ) -> Result<Now, StoreError> {
        let inner = &*self.inner;
        let Some(number) = inner.tables.number(table) else {
            return Ok(Now::Absent);
        };
        let db = &inner.snapshot.base().db;
        match with_key(number, key, |key| db.get_pinned_opt(key, &inner.warm)) {
            Ok(Some(value)) => {
                found(&value);
                Ok(Now::Found)
            }
            Ok(None) => Ok(Now::Absent),
            Err(error) if error.kind() == ErrorKind::Incomplete => Ok(Now::Cold),
            Err(error) => Err(inner.failed(&whole_key(number, key), &error)),
        }
    }

    fn get<'a>(
        &'a self,
        table: &'static str,
        keys: &'a [Raw],
    ) -> BoxFuture<'a, Result<Vec<Option<Raw>>, StoreError>> {
        Box::pin(async move {
            let inner = &self.inner;
            let Some(number) = inner.tables.number(table) else {
                return Ok(vec![None; keys.len()]);
            };
            let keys: Vec<Raw> = keys.iter().map(|key| whole_key(number, key)).collect();
            let mut values = inner.get_warm(&keys)?;
            let missing = |(at, value): (usize, &Fetched)| value.is_none().then_some(at);
            let missing: Vec<usize> = values.iter().enumerate().filter_map(missing).collect();
            if !missing.is_empty() {
                let keys: Vec<Raw> = missing.iter().map(|at| keys[*at].clone()).collect();
                let reader = inner.clone();
                let read = move || reader.get_many(&keys, &reader.cold);
                let read = inner.snapshot.base().on_disk(read).await?;
                for (at, value) in missing.into_iter().zip(read) {
                    values[at] = value;
                }
            }
            Ok(values.into_iter().map(Option::flatten).collect())
        })
    }

    fn scan_now(
        &self,
        span: &Span,
        order: Order,
        limit: usize,
        row: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Scan, StoreError> {
        let inline = Bounds {
            rows: limit.min(INLINE_ROWS),
            bytes: INLINE_BYTES,
        };
        let reached = self
            .inner
            .visit(span, order, ReadTier::BlockCache, inline, row)?;
        Ok(match reached {
            Reached::Cold(last) => Scan::Cold(last),
            Reached::Limit(last) if inline.rows < limit || last.is_early => {
                Scan::Cold(Some(last.key))
            }
            Reached::Limit(_) | Reached::End => Scan::Done,
        })
    }

    fn scan<'a>(
        &'a self,
        span: &'a Span,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(Raw, Raw)>, StoreError>> {
        let (reader, span) = (self.inner.clone(), span.clone());
        self.inner.snapshot.base().on_disk(move || {
            let mut rows = Vec::new();
            let bounds = Bounds {
                rows: limit,
                bytes: usize::MAX,
            };
            reader.visit(&span, order, ReadTier::All, bounds, &mut |key, value| {
                rows.push((key.to_vec(), value.to_vec()));
            })?;
            Ok(rows)
        })
    }
}

/// A value, or its absence; `None` where that is not known without a disk.
type Fetched = Option<Option<Raw>>;

#[derive(Clone, Copy)]
struct Bounds {
    rows: usize,
    bytes: usize,
}

struct Last {
    key: Raw,
    /// Bytes, not rows, ended the scan.
    is_early: bool,
}

enum Reached {
    /// The next row is not in memory; the last one that was, if any.
    Cold(Option<Raw>),
    Limit(Last),
    End,
}

impl Inner {
    /// One by one: RocksDB's batched read returns an empty value for a row whose block is not in the
    /// cache.
    fn get_warm(&self, keys: &[Raw]) -> Result<Vec<Fetched>, StoreError> {
        let db = &self.snapshot.base().db;
        let get = |key: &Raw| match db.get_pinned_opt(key, &self.warm) {
            Ok(value) => Ok(Some(value.map(|value| value.to_vec()))),
            Err(error) if error.kind() == ErrorKind::Incomplete => Ok(None),
            Err(error) => Err(self.failed(key, &error)),
        };
        keys.iter().map(get).collect()
    }

    fn get_many(&self, keys: &[Raw], options: &ReadOptions) -> Result<Vec<Fetched>, StoreError> {
        let values = self.snapshot.base().db.multi_get_opt(keys, options);
        let known = |(value, key): (Result<Option<Raw>, rocksdb::Error>, &Raw)| match value {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == ErrorKind::Incomplete => Ok(None),
            Err(error) => Err(self.failed(key, &error)),
        };
        values.into_iter().zip(keys).map(known).collect()
    }

    fn visit(
        &self,
        span: &Span,
        order: Order,
        tier: ReadTier,
        bounds: Bounds,
        row: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Reached, StoreError> {
        let number = self.tables.number(span.table).filter(|_| !span.is_empty());
        let Some(number) = number else {
            return Ok(Reached::End);
        };
        let (from, to) = whole_span(number, span);
        let mut options = read_options(&self.snapshot, tier);
        match order {
            Order::Forward => options.set_iterate_upper_bound(to),
            Order::Backward => {
                options.set_iterate_upper_bound(to);
                options.set_iterate_lower_bound(from.clone());
            }
        }
        let mut rows = self.snapshot.base().db.raw_iterator_opt(options);
        match order {
            Order::Forward => rows.seek(&from),
            Order::Backward => rows.seek_to_last(),
        }
        let (mut count, mut bytes) = (0, 0);
        let mut last: Option<Raw> = None;
        while let Some((key, value)) = rows.item() {
            let key = &key[2..];
            row(key, value);
            count += 1;
            bytes += key.len() + value.len();
            if count >= bounds.rows || bytes >= bounds.bytes {
                let is_early = count < bounds.rows;
                return Ok(Reached::Limit(Last {
                    key: key.to_vec(),
                    is_early,
                }));
            }
            remember(&mut last, key);
            match order {
                Order::Forward => rows.next(),
                Order::Backward => rows.prev(),
            }
        }
        match rows.status() {
            Ok(()) => Ok(Reached::End),
            Err(error) if error.kind() == ErrorKind::Incomplete => Ok(Reached::Cold(last)),
            Err(error) => {
                let table = span.table;
                let place = match last {
                    Some(last) => format!("table `{table}` beside the row {}", shown(&last)),
                    None => format!("table `{table}` beside the row {}", shown(&span.from)),
                };
                Err(self.snapshot.base().read_failed(&place, &error))
            }
        }
    }

    fn failed(&self, whole_key: &[u8], error: &rocksdb::Error) -> StoreError {
        let table = self.tables.name_of(whole_key);
        let place = format!("the row {} of table {table}", shown(&whole_key[2..]));
        self.snapshot.base().read_failed(&place, error)
    }
}

/// A key for an operator: text as text, other bytes escaped.
pub(crate) fn shown(key: &[u8]) -> String {
    const LONGEST: usize = 100;
    format!("\"{}\"", key[..key.len().min(LONGEST)].escape_ascii())
}

/// Where to go on, should the next row be cold or unreadable; into the same buffer each time.
fn remember(last: &mut Option<Raw>, key: &[u8]) {
    let buffer = last.get_or_insert_default();
    buffer.clear();
    buffer.extend_from_slice(key);
}
