//! The index of relations, kept in the commit of each event: children enter it when they are shown, and leave it when they are
//! redacted (`rooms_store::relations` describes the tables).
//!
//! A thread moves in the order of threads once for each commit: a place that this commit itself gave cannot be taken back before
//! it is committed.

use std::collections::BTreeMap;

use database::{Placed, Position, Read, RoomNumber, Slot, Txn};
use protocol::scan;
use rooms_store::{
    RoomError,
    relations::{
        EDITS, RELATION_COUNTS, RELATION_SENDERS, RELATIONS, REPLACEMENT, RelatesTo, Relation,
        RelationCounts, THREAD, THREAD_COUNTS, THREAD_ORDER, THREADS,
    },
    state_map::EventNumber,
    tables::StoredEvent,
};

use crate::{commit::At, handle::RelationLimits, turn::Pending};

/// What one commit changes in a room's index.
pub(crate) struct RelationIndex<'a> {
    txn: &'a Txn,
    room: RoomNumber,
    limits: RelationLimits,
    /// Roots of threads that changed, with the newest place that this commit gave to one of their events.
    threads: BTreeMap<String, Option<Slot>>,
}

impl<'a> RelationIndex<'a> {
    pub(crate) fn new(txn: &'a Txn, room: RoomNumber, limits: RelationLimits) -> Self {
        Self {
            txn,
            room,
            limits,
            threads: BTreeMap::new(),
        }
    }

    /// Enters an event that the room shows from now on.
    pub(crate) async fn add(
        &mut self,
        event: &Pending,
        stored: &StoredEvent,
        at: At,
    ) -> Result<(), RoomError> {
        let content = scan::member(&stored.json, "content").unwrap_or_default();
        let Some(RelatesTo { parent, kind }) = RelatesTo::of(content) else {
            return Ok(());
        };
        let (txn, room) = (self.txn, self.room);
        let row = RELATION_COUNTS.at((room, &parent));
        let mut counts = txn.get(row.clone()).await?.unwrap_or_default();
        let is_thread = kind == THREAD;
        if counts.all >= self.limits.per_event
            || (is_thread && counts.threads == 0 && self.has_most_threads().await?)
        {
            return Ok(());
        }
        counts.all += 1;
        if let Some(count) = counts.of_kind(&kind) {
            *count += 1;
        }
        txn.put(row, &counts);
        let row = RELATION_SENDERS.at((room, &parent, &kind, stored.sender));
        let sent = txn.get(row.clone()).await?.unwrap_or(0);
        txn.put(row, &(sent + 1));
        let relation = Relation {
            event: event.number,
            sender: stored.sender,
            kind: event.kind.clone(),
        };
        match at {
            At::Slot(slot) => txn.append(RELATIONS.end((room, &parent, &kind)), slot, &relation),
            At::Gap(place) => txn.put(RELATIONS.at((room, &parent, &kind, place)), &relation),
        }
        if kind == REPLACEMENT {
            let ts = timestamp(&stored.json);
            let key = (room, &*parent, stored.sender, ts, event.id.as_str());
            txn.put(EDITS.at(key), &event.number);
        }
        if is_thread {
            let newest = self.threads.entry(parent.into_owned()).or_default();
            if let At::Slot(slot) = at {
                *newest = Some(slot);
            }
        }
        Ok(())
    }

    /// Takes out an event that is redacted. `stored` is the event before that.
    pub(crate) async fn remove(
        &mut self,
        number: EventNumber,
        stored: &StoredEvent,
        position: Position,
    ) -> Result<(), RoomError> {
        let content = scan::member(&stored.json, "content").unwrap_or_default();
        let Some(RelatesTo { parent, kind }) = RelatesTo::of(content) else {
            return Ok(());
        };
        let (txn, room) = (self.txn, self.room);
        let row = RELATIONS.at((room, &parent, &kind, position));
        let indexed = txn.get(row.clone()).await?;
        if indexed.is_none_or(|relation| relation.event != number) {
            return Ok(());
        }
        txn.delete(row);
        let row = RELATION_COUNTS.at((room, &parent));
        let mut counts: RelationCounts = txn.get(row.clone()).await?.unwrap_or_default();
        counts.all = counts.all.saturating_sub(1);
        if let Some(count) = counts.of_kind(&kind) {
            *count = count.saturating_sub(1);
        }
        if counts.all == 0 {
            txn.delete(row);
        } else {
            txn.put(row, &counts);
        }
        let row = RELATION_SENDERS.at((room, &parent, &kind, stored.sender));
        match txn.get(row.clone()).await? {
            Some(sent) if sent > 1 => txn.put(row, &(sent - 1)),
            Some(_) | None => txn.delete(row),
        }
        if kind == REPLACEMENT {
            let ts = timestamp(&stored.json);
            let key = (room, &*parent, stored.sender, ts, stored.event_id.as_str());
            txn.delete(EDITS.at(key));
        }
        if kind == THREAD {
            self.threads.entry(parent.into_owned()).or_default();
        }
        Ok(())
    }

    /// Moves the threads that changed to the place of their newest event.
    pub(crate) async fn finish(self) -> Result<(), RoomError> {
        if self.threads.is_empty() {
            return Ok(());
        }
        let Self {
            txn, room, threads, ..
        } = self;
        let row = THREAD_COUNTS.at(room);
        let before = txn.get(row.clone()).await?.unwrap_or(0);
        let mut count = before;
        for (root, newest) in threads {
            let old = txn.get(THREADS.at((room, &root))).await?;
            let old = old.map(|row| row.position);
            let kept = match newest {
                Some(_) => None,
                None => newest_held(txn, room, &root).await?,
            };
            if newest.is_none() && kept == old {
                continue;
            }
            if let Some(old) = old {
                txn.delete(THREAD_ORDER.at((room, old)));
            }
            match (newest, kept) {
                (Some(slot), _) => {
                    txn.put_placed(THREADS.at((room, &root)), &(), slot);
                    txn.append(THREAD_ORDER.end(room), slot, &root);
                }
                (None, Some(position)) => {
                    let row = Placed {
                        value: (),
                        position,
                    };
                    txn.put(THREADS.at((room, &root)), &row);
                    txn.put(THREAD_ORDER.at((room, position)), &root);
                }
                (None, None) => txn.delete(THREADS.at((room, &root))),
            }
            let is_left = newest.is_some() || kept.is_some();
            match (old.is_some(), is_left) {
                (false, true) => count += 1,
                (true, false) => count = count.saturating_sub(1),
                (true, true) | (false, false) => {}
            }
        }
        if count != before {
            txn.put(row, &count);
        }
        Ok(())
    }

    async fn has_most_threads(&self) -> Result<bool, RoomError> {
        let held = self.txn.get(THREAD_COUNTS.at(self.room)).await?;
        let new = u64::try_from(self.threads.len()).unwrap_or(u64::MAX);
        Ok(held.unwrap_or(0).saturating_add(new) >= self.limits.threads_per_room)
    }
}

/// The place of the newest event of a thread, as far as it had one before this commit.
async fn newest_held(
    txn: &Txn,
    room: RoomNumber,
    root: &str,
) -> Result<Option<Position>, RoomError> {
    let rows = RELATIONS.under((room, root, THREAD)).reversed();
    Ok(txn.first(rows).await?.map(|((_, _, _, at), _)| at))
}

fn timestamp(json: &str) -> u64 {
    scan::member(json, "origin_server_ts")
        .and_then(|ts| ts.parse().ok())
        .unwrap_or(0)
}
