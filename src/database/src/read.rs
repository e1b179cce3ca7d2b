//! Reading: the same calls on a [`Snapshot`] and in a transaction, so queries take `&impl Read`.

use std::{slice, sync::Arc};

use crate::{
    engine::{Address, Now, Order, Raw, Scan, Span, View},
    error::{Result, StoreError},
    key::Key,
    stamp::Stamp,
    table::{Row, Rows},
    value::Value,
};

pub trait Read: Sync {
    /// The stamp of the state that is read; a transaction's own writes come after it.
    fn stamp(&self) -> Stamp;

    fn get<V: Value>(&self, row: Row<V>) -> impl Future<Output = Result<Option<V>>> + Send;

    /// Values in the order of `rows`, which may be of different tables.
    fn get_many<V: Value>(
        &self,
        rows: Vec<Row<V>>,
    ) -> impl Future<Output = Result<Vec<Option<V>>>> + Send;

    /// The first `limit` rows. The next page is `rows.after(last key)`, or `before` if reversed.
    fn page<K: Key, V: Value>(
        &self,
        rows: Rows<K, V>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<(K, V)>>> + Send;

    fn exists<V>(&self, row: Row<V>) -> impl Future<Output = Result<bool>> + Send;

    fn first<K: Key, V: Value>(
        &self,
        rows: Rows<K, V>,
    ) -> impl Future<Output = Result<Option<(K, V)>>> + Send {
        async move { Ok(self.page(rows, 1).await?.pop()) }
    }

    /// Whether this transaction has written the row itself, so that it may never be committed.
    #[doc(hidden)]
    fn has_own<V>(&self, row: &Row<V>) -> bool;
}

/// The database as of one stamp, for as long as it is held. Cheap to take and to clone; old
/// snapshots keep overwritten rows on disk, so do not park them.
#[derive(Clone)]
pub struct Snapshot(pub(crate) Arc<dyn View>);

impl Read for Snapshot {
    fn stamp(&self) -> Stamp {
        self.0.stamp()
    }

    async fn get<V: Value>(&self, row: Row<V>) -> Result<Option<V>> {
        fetch(&*self.0, &row.at).await
    }

    async fn get_many<V: Value>(&self, rows: Vec<Row<V>>) -> Result<Vec<Option<V>>> {
        let rows: Vec<Address> = rows.into_iter().map(|row| row.at).collect();
        fetch_many(&*self.0, &rows).await
    }

    async fn page<K: Key, V: Value>(&self, rows: Rows<K, V>, limit: usize) -> Result<Vec<(K, V)>> {
        Ok(walk(&*self.0, rows.span, rows.order, limit).await?.0)
    }

    async fn exists<V>(&self, row: Row<V>) -> Result<bool> {
        is_stored(&*self.0, &row.at).await
    }

    fn has_own<V>(&self, _: &Row<V>) -> bool {
        false
    }
}

/// Decodes in place what is in memory; only cold rows are copied first.
pub(crate) async fn fetch<V: Value>(view: &dyn View, at: &Address) -> Result<Option<V>> {
    let mut value = None;
    match view.get_now(at.table, &at.key, &mut |raw| value = Some(V::decode(raw)))? {
        Now::Found => value.transpose(),
        Now::Absent => Ok(None),
        Now::Cold => {
            let mut found = view.get(at.table, slice::from_ref(&at.key)).await?;
            found.pop().flatten().map(|raw| V::decode(&raw)).transpose()
        }
    }
}

pub(crate) async fn is_stored(view: &dyn View, at: &Address) -> Result<bool> {
    match view.get_now(at.table, &at.key, &mut |_| {})? {
        Now::Found => Ok(true),
        Now::Absent => Ok(false),
        Now::Cold => {
            let mut found = view.get(at.table, slice::from_ref(&at.key)).await?;
            Ok(found.pop().flatten().is_some())
        }
    }
}

/// One batch for each run of rows of one table.
pub(crate) async fn fetch_many<V: Value>(
    view: &dyn View,
    rows: &[Address],
) -> Result<Vec<Option<V>>> {
    if let [row] = rows {
        return Ok(vec![fetch(view, row).await?]);
    }
    let mut values = Vec::with_capacity(rows.len());
    for run in rows.chunk_by(|a, b| a.table == b.table) {
        let keys: Vec<Raw> = run.iter().map(|at| at.key.clone()).collect();
        for raw in view.get(run[0].table, &keys).await? {
            values.push(raw.map(|raw| V::decode(&raw)).transpose()?);
        }
    }
    Ok(values)
}

/// The rows of a span, and the last one's key if the limit was met.
pub(crate) async fn walk<K: Key, V: Value>(
    view: &dyn View,
    mut span: Span,
    order: Order,
    limit: usize,
) -> Result<(Vec<(K, V)>, Option<Raw>)> {
    let mut rows = Vec::new();
    let mut last = None;
    if limit == 0 || span.is_empty() {
        return Ok((rows, last));
    }
    let mut failure: Option<StoreError> = None;
    let scanned = view.scan_now(&span, order, limit, &mut |key, value| {
        match decode_row(key, value) {
            Ok(row) => rows.push(row),
            Err(error) => failure = Some(error),
        }
        if rows.len() == limit {
            last = Some(key.to_vec());
        }
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    if let Scan::Cold(reached) = scanned {
        if let Some(reached) = reached {
            span.skip_past(&reached, order);
        }
        let rest = view.scan(&span, order, limit - rows.len()).await?;
        for (key, value) in &rest {
            rows.push(decode_row(key, value)?);
        }
        if rows.len() == limit {
            last = rest.into_iter().next_back().map(|(key, _)| key);
        }
    }
    Ok((rows, last))
}

/// All of the span up to the limit, undecoded.
pub(crate) async fn walk_raw(
    view: &dyn View,
    mut span: Span,
    order: Order,
    limit: usize,
) -> Result<Vec<(Raw, Raw)>> {
    let mut rows = Vec::new();
    if limit == 0 || span.is_empty() {
        return Ok(rows);
    }
    let scanned = view.scan_now(&span, order, limit, &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
    })?;
    if let Scan::Cold(reached) = scanned {
        if let Some(reached) = reached {
            span.skip_past(&reached, order);
        }
        rows.extend(view.scan(&span, order, limit - rows.len()).await?);
    }
    Ok(rows)
}

fn decode_row<K: Key, V: Value>(key: &[u8], value: &[u8]) -> Result<(K, V)> {
    Ok((K::decode(key)?, V::decode(value)?))
}
