//! A view of the memory engine: the rows as of one stamp.

use std::sync::Arc;

use super::{Inner, as_of, lock, read};
use crate::{
    engine::{BoxFuture, Now, Order, Raw, Scan, Span, View},
    error::Result,
    stamp::Stamp,
};

pub(super) struct MemoryView {
    stamp: Stamp,
    inner: Arc<Inner>,
}

impl Drop for MemoryView {
    fn drop(&mut self) {
        let mut readers = lock(&self.inner.readers);
        if let Some(count) = readers.get_mut(&self.stamp) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.stamp);
            }
        }
    }
}

impl MemoryView {
    /// To be called while the state is locked, or versions of this stamp might be dropped.
    pub(super) fn new(stamp: Stamp, inner: Arc<Inner>) -> Self {
        *lock(&inner.readers).entry(stamp).or_default() += 1;
        Self { stamp, inner }
    }

    fn is_cold(&self) -> bool {
        *self.inner.cold.borrow()
    }

    fn visit(&self, span: &Span, order: Order, limit: usize, row: &mut dyn FnMut(&[u8], &[u8])) {
        let state = read(&self.inner.state);
        let Some(rows) = state.tables.get(span.table).filter(|_| !span.is_empty()) else {
            return;
        };
        let rows = rows.range::<[u8], _>(span.bounds());
        let live = |(key, versions)| as_of(versions, self.stamp).map(|value| (key, value));
        let visit = |(key, value): (&Raw, &Arc<[u8]>)| row(key, value);
        match order {
            Order::Forward => rows.filter_map(live).take(limit).for_each(visit),
            Order::Backward => rows.rev().filter_map(live).take(limit).for_each(visit),
        }
    }

    fn value(&self, table: &str, key: &[u8]) -> Option<Arc<[u8]>> {
        let state = read(&self.inner.state);
        as_of(state.tables.get(table)?.get(key)?, self.stamp).cloned()
    }
}

impl View for MemoryView {
    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn get_now(
        &self,
        table: &'static str,
        key: &[u8],
        found: &mut dyn FnMut(&[u8]),
    ) -> Result<Now> {
        if self.is_cold() {
            return Ok(Now::Cold);
        }
        let Some(value) = self.value(table, key) else {
            return Ok(Now::Absent);
        };
        found(&value);
        Ok(Now::Found)
    }

    fn get<'a>(
        &'a self,
        table: &'static str,
        keys: &'a [Raw],
    ) -> BoxFuture<'a, Result<Vec<Option<Raw>>>> {
        Box::pin(async move {
            let values = keys.iter().map(|key| self.value(table, key));
            Ok(values
                .map(|value| value.map(|value| value.to_vec()))
                .collect())
        })
    }

    fn scan_now(
        &self,
        span: &Span,
        order: Order,
        limit: usize,
        row: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Scan> {
        if !self.is_cold() {
            self.visit(span, order, limit, row);
            return Ok(Scan::Done);
        }
        // One row is in the cache, the next is not.
        let mut last = None;
        self.visit(span, order, limit.min(1), &mut |key, value| {
            last = Some(key.to_vec());
            row(key, value);
        });
        Ok(if limit > 1 {
            Scan::Cold(last)
        } else {
            Scan::Done
        })
    }

    fn scan<'a>(
        &'a self,
        span: &'a Span,
        order: Order,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(Raw, Raw)>>> {
        Box::pin(async move {
            let mut rows = Vec::new();
            self.visit(span, order, limit, &mut |key, value| {
                rows.push((key.to_vec(), value.to_vec()));
            });
            Ok(rows)
        })
    }
}
