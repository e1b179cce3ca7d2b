//! A transaction's draft: the reads and writes of its body so far.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    engine::{Address, Commit, Durability, Order, Raw, Span, View, Write},
    error::Result,
    key::Key,
    read::{Read, fetch, fetch_many, is_stored, walk, walk_raw},
    stamp::{Placed, Position, Slot, Stamp},
    table::{LogEnd, Row, Rows},
    value::Value,
};

/// A cheap handle, passed by value into the body of [`Store::transact`](crate::Store::transact).
/// Reads see the body's own puts, deletes and clears; they never see its own appends, whose keys
/// do not exist before the commit.
#[derive(Clone)]
pub struct Txn {
    base: Arc<dyn View>,
    draft: Arc<Mutex<Draft>>,
}

/// The last write of a body to a row.
#[derive(Clone)]
enum Cell {
    Value(Raw),
    Placed(Raw, Slot),
    Deleted,
}

impl Cell {
    /// The value that the body itself reads: a position that is not known yet reads as the greatest.
    fn read(&self) -> Option<Raw> {
        match self {
            Self::Value(value) => Some(value.clone()),
            Self::Placed(value, slot) => {
                Some([&value[..], &slot.at(Stamp::MAX).to_bytes()].concat())
            }
            Self::Deleted => None,
        }
    }

    fn write(self, at: Address) -> Write {
        match self {
            Self::Value(value) => Write::Put(at, value),
            Self::Placed(value, slot) => Write::PutPlaced(at, value, slot),
            Self::Deleted => Write::Delete(at),
        }
    }
}

/// The body's own answer for a row.
enum Own {
    Value(Raw),
    Absent,
    /// The body has not written it: the stored value counts.
    Untouched,
}

#[derive(Default)]
struct Draft {
    points: Vec<Address>,
    spans: Vec<Span>,
    clears: Vec<Span>,
    /// The last write of each row is the one that counts.
    rows: BTreeMap<&'static str, BTreeMap<Raw, Cell>>,
    appends: Vec<Write>,
    slots: u32,
    /// Log, value: what `append_once` has appended.
    once: BTreeSet<(Address, Raw)>,
    /// Log, slot: the places that those entries take.
    taken: BTreeSet<(Address, Slot)>,
    durability: Durability,
}

impl Draft {
    fn own(&self, at: &Address) -> Own {
        if let Some(cell) = self.rows.get(at.table).and_then(|rows| rows.get(&at.key)) {
            return cell.read().map_or(Own::Absent, Own::Value);
        }
        if self.clears.iter().any(|span| span.holds(at.table, &at.key)) {
            return Own::Absent;
        }
        Own::Untouched
    }

    fn own_rows(&self, span: &Span) -> Vec<(Raw, Option<Raw>)> {
        let Some(rows) = self.rows.get(span.table).filter(|_| !span.is_empty()) else {
            return Vec::new();
        };
        let own = rows.range::<[u8], _>(span.bounds());
        own.map(|(key, cell)| (key.clone(), cell.read())).collect()
    }

    fn next_slot(&mut self) -> Slot {
        self.slots += 1;
        Slot(self.slots - 1)
    }

    /// The slot at which `value` enters `log`; `None` if an equal value is there already.
    fn claim(&mut self, log: &Address, slot: Slot, value: Raw) -> Option<Slot> {
        if !self.once.insert((log.clone(), value)) {
            return None;
        }
        if self.taken.insert((log.clone(), slot)) {
            return Some(slot);
        }
        let own = self.next_slot();
        self.taken.insert((log.clone(), own));
        Some(own)
    }

    fn clears_over(&self, span: &Span) -> Vec<Span> {
        self.clears
            .iter()
            .filter(|clear| clear.overlaps(span))
            .cloned()
            .collect()
    }
}

impl Txn {
    pub(crate) fn new(base: Arc<dyn View>) -> Self {
        Self {
            base,
            draft: Arc::default(),
        }
    }

    fn draft(&self) -> MutexGuard<'_, Draft> {
        self.draft.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn put<V: Value>(&self, row: Row<V>, value: &V) {
        self.set(row.at, Cell::Value(encode(value)));
    }

    /// A row that holds the position of `slot`.
    pub fn put_placed<V: Value>(&self, row: Row<Placed<V>>, value: &V, slot: Slot) {
        self.set(row.at, Cell::Placed(encode(value), slot));
    }

    pub fn delete<V>(&self, row: Row<V>) {
        self.set(row.at, Cell::Deleted);
    }

    fn set(&self, at: Address, cell: Cell) {
        self.draft()
            .rows
            .entry(at.table)
            .or_default()
            .insert(at.key, cell);
    }

    /// Deletes all of `rows` at the cost of one write; rows that the body puts there later stay.
    pub fn clear<K, V>(&self, rows: Rows<K, V>) {
        let span = rows.span;
        if span.is_empty() {
            return;
        }
        let mut draft = self.draft();
        if let Some(own) = draft.rows.get_mut(span.table) {
            own.retain(|key, _| !span.holds(span.table, key));
        }
        draft.clears.push(span);
    }

    /// The place of the next thing that this transaction appends; it may enter several logs.
    pub fn slot(&self) -> Slot {
        self.draft().next_slot()
    }

    /// At most one entry per slot in each log: a second one would replace the first.
    pub fn append<V: Value>(&self, end: LogEnd<V>, slot: Slot, value: &V) {
        let mut raw = Vec::new();
        value.encode(&mut raw);
        let mut at = end.at;
        at.key.reserve_exact(Position::LENGTH);
        self.draft().appends.push(Write::Append(at, raw, slot));
    }

    /// Nobody waits for this commit's own disk sync (a follower's cursor, when a device was last
    /// seen): it rides along with the next group, 100 ms later at most.
    pub fn may_wait(&self) {
        self.draft().durability = Durability::WithNext;
    }

    /// Appends `value` unless this transaction has already appended an equal one to this log with
    /// this method. If an earlier entry of this method has taken `slot` there, the value takes a
    /// slot of its own.
    pub fn append_once<V: Value>(&self, end: LogEnd<V>, slot: Slot, value: &V) {
        let place = self.draft().claim(&end.at, slot, encode(value));
        if let Some(place) = place {
            self.append(end, place, value);
        }
    }

    /// The commit; `None` if nothing was written. Leaves the draft empty.
    pub(crate) fn finish(&self) -> Option<Commit> {
        let draft = std::mem::take(&mut *self.draft());
        if draft.appends.is_empty() && draft.clears.is_empty() && draft.rows.is_empty() {
            return None;
        }
        let mut writes = Vec::with_capacity(draft.appends.len() + 16);
        for (table, rows) in draft.rows {
            let rows = rows.into_iter();
            writes.extend(rows.map(|(key, cell)| cell.write(Address { table, key })));
        }
        writes.extend(draft.appends);
        if writes.is_empty() && draft.clears.is_empty() {
            return None;
        }
        Some(Commit {
            since: self.base.stamp(),
            points: draft.points,
            spans: draft.spans,
            clears: draft.clears,
            writes,
            durability: draft.durability,
        })
    }

    /// Own writes merged over the stored rows.
    async fn merged(&self, span: Span, order: Order, limit: usize) -> Result<Vec<(Raw, Raw)>> {
        let (own, cleared) = {
            let draft = self.draft();
            (draft.own_rows(&span), draft.clears_over(&span))
        };
        let enough = if cleared.is_empty() {
            limit.saturating_add(own.len())
        } else {
            usize::MAX
        };
        let stored = walk_raw(&*self.base, span.clone(), order, enough).await?;
        let mut merged: BTreeMap<Raw, Option<Raw>> = stored
            .into_iter()
            .map(|(key, value)| (key, Some(value)))
            .collect();
        merged.retain(|key, _| !cleared.iter().any(|clear| clear.holds(span.table, key)));
        merged.extend(own);
        let rows = merged
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        let mut rows: Vec<_> = rows.collect();
        if order == Order::Backward {
            rows.reverse();
        }
        rows.truncate(limit);
        let last = rows
            .last()
            .filter(|_| rows.len() == limit)
            .map(|(key, _)| key.clone());
        self.looked_at(span, order, last);
        Ok(rows)
    }

    /// Only the part of the span that was looked at is observed: rows behind the last one of a full
    /// page may change without a conflict.
    fn looked_at(&self, mut span: Span, order: Order, last: Option<Raw>) {
        if let Some(last) = last {
            span.end_with(&last, order);
        }
        self.draft().spans.push(span);
    }
}

impl Read for Txn {
    fn stamp(&self) -> Stamp {
        self.base.stamp()
    }

    async fn get<V: Value>(&self, row: Row<V>) -> Result<Option<V>> {
        let own = self.draft().own(&row.at);
        match own {
            Own::Value(raw) => return V::decode(&raw).map(Some),
            Own::Absent => return Ok(None),
            Own::Untouched => {}
        }
        let value = fetch(&*self.base, &row.at).await?;
        self.draft().points.push(row.at);
        Ok(value)
    }

    async fn get_many<V: Value>(&self, rows: Vec<Row<V>>) -> Result<Vec<Option<V>>> {
        let mut values = Vec::with_capacity(rows.len());
        let mut asked = Vec::new();
        let mut places = Vec::new();
        {
            let draft = self.draft();
            for row in rows {
                match draft.own(&row.at) {
                    Own::Value(raw) => values.push(Some(V::decode(&raw)?)),
                    Own::Absent => values.push(None),
                    Own::Untouched => {
                        places.push(values.len());
                        values.push(None);
                        asked.push(row.at);
                    }
                }
            }
        }
        let found = fetch_many(&*self.base, &asked).await?;
        for (place, value) in places.into_iter().zip(found) {
            values[place] = value;
        }
        self.draft().points.extend(asked);
        Ok(values)
    }

    async fn page<K: Key, V: Value>(&self, rows: Rows<K, V>, limit: usize) -> Result<Vec<(K, V)>> {
        if limit == 0 || rows.span.is_empty() {
            return Ok(Vec::new());
        }
        let is_untouched = {
            let draft = self.draft();
            draft.own_rows(&rows.span).is_empty() && draft.clears_over(&rows.span).is_empty()
        };
        if is_untouched {
            let (page, last) = walk(&*self.base, rows.span.clone(), rows.order, limit).await?;
            self.looked_at(rows.span, rows.order, last);
            return Ok(page);
        }
        let raw = self.merged(rows.span, rows.order, limit).await?;
        raw.iter()
            .map(|(key, value)| Ok((K::decode(key)?, V::decode(value)?)))
            .collect()
    }

    async fn exists<V>(&self, row: Row<V>) -> Result<bool> {
        let own = self.draft().own(&row.at);
        if !matches!(own, Own::Untouched) {
            return Ok(matches!(own, Own::Value(_)));
        }
        let is_stored = is_stored(&*self.base, &row.at).await?;
        self.draft().points.push(row.at);
        Ok(is_stored)
    }

    fn has_own<V>(&self, row: &Row<V>) -> bool {
        !matches!(self.draft().own(&row.at), Own::Untouched)
    }
}

fn encode<V: Value>(value: &V) -> Raw {
    let mut raw = Vec::new();
    value.encode(&mut raw);
    raw
}
