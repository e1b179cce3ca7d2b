//! The newest part of a room's logs, read once for all members who sync: what a message costs a thousand readers is one
//! short scan.

use std::sync::Arc;

use database::{Position, Read, RoomNumber, Snapshot, Stamp};
use quick_cache::{Weighter, sync::Cache};
use rooms_history::History;
use rooms_store::{
    RoomError,
    state_map::StateRoot,
    tables::{LogEntry, ROOM_LOG, Receipt, ReceiptKey},
};

use crate::notifier::{Changed, Notifier};

/// Entries that are read at first.
const ENTRIES: usize = 64;
/// Entries and receipts that are held at most; then only the newer half stays.
const MOST: usize = 512;

/// A receipt and when it came.
pub(crate) type ReceiptEntry = (Position, ReceiptKey, Receipt);

/// A room as of a snapshot.
#[derive(Debug)]
pub(crate) struct Recent {
    read_at: Stamp,
    /// The newest commit that this knows of; nothing happened from here to `read_at`.
    newest: Stamp,
    /// `entries` is all of the room's log after this stamp.
    pub(crate) after: Stamp,
    /// Oldest first.
    pub(crate) entries: Vec<(Position, LogEntry)>,
    /// `receipts` is all of the receipts after this stamp.
    pub(crate) receipts_after: Stamp,
    pub(crate) receipts: Vec<ReceiptEntry>,
    pub(crate) state: StateRoot,
    pub(crate) joined: u64,
    pub(crate) invited: u64,
}

/// Owner: `Sync`. Bound: bytes, given at start. What is told to the room (`Concern::Room`) makes it read further.
pub(crate) struct RecentCache(Cache<RoomNumber, Arc<Recent>, ByBytes>);

#[derive(Clone)]
struct ByBytes;

impl Weighter<RoomNumber, Arc<Recent>> for ByBytes {
    fn weight(&self, _: &RoomNumber, recent: &Arc<Recent>) -> u64 {
        let entries = recent.entries.len() * size_of::<(Position, LogEntry)>();
        let receipts = recent.receipts.len() * (size_of::<ReceiptEntry>() + 64);
        (size_of::<Recent>() + 256 + entries + receipts) as u64
    }
}

impl RecentCache {
    pub(crate) fn new(bytes: u64) -> Self {
        let rooms = usize::try_from(bytes / 2048).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(rooms.max(64), bytes, ByBytes))
    }

    /// The room in this snapshot.
    pub(crate) async fn get(
        &self,
        history: &History,
        notifier: &Notifier,
        db: &Snapshot,
        room: RoomNumber,
    ) -> Result<Arc<Recent>, RoomError> {
        let kept = self.0.get(&room);
        if let Some(kept) = &kept
            && kept.newest <= db.stamp()
        {
            let both = kept.read_at.min(db.stamp());
            if notifier.room_changed(room, both) == Changed::No {
                return Ok(kept.clone());
            }
        }
        let older = kept.filter(|kept| kept.read_at <= db.stamp());
        let recent = Arc::new(match older {
            Some(older) => older.read_on(history, db, room).await?,
            None => Recent::read(history, db, room).await?,
        });
        if self
            .0
            .peek(&room)
            .is_none_or(|kept| kept.read_at < recent.read_at)
        {
            self.0.insert(room, recent.clone());
        }
        Ok(recent)
    }
}

impl Recent {
    async fn read(history: &History, db: &Snapshot, room: RoomNumber) -> Result<Self, RoomError> {
        let head = history.rooms().head(db, room).await?;
        let mut entries = Vec::new();
        let rows = db.page(ROOM_LOG.under(room).reversed(), ENTRIES).await?;
        // The oldest commit may not be whole.
        let after = match rows.last() {
            Some(((_, Position(stamp, _)), _)) if rows.len() == ENTRIES => *stamp,
            Some(_) | None => Stamp(0),
        };
        entries.extend(rows.into_iter().rev().map(|((_, at), entry)| (at, entry)));
        entries.retain(|(Position(stamp, _), _)| *stamp > after);
        let newest = entries
            .last()
            .map_or(Stamp(0), |(Position(stamp, _), _)| *stamp);
        Ok(Self {
            read_at: db.stamp(),
            newest,
            after,
            entries,
            receipts_after: db.stamp(),
            receipts: Vec::new(),
            state: head.state,
            joined: head.joined,
            invited: head.invited,
        })
    }

    /// The same, as of a later snapshot.
    async fn read_on(
        &self,
        history: &History,
        db: &Snapshot,
        room: RoomNumber,
    ) -> Result<Self, RoomError> {
        let head = history.rooms().head(db, room).await?;
        let behind = Position::last_of(self.read_at);
        let rows = db
            .page(ROOM_LOG.under(room).after((room, behind)), MOST)
            .await?;
        if rows.len() == MOST {
            return Self::read(history, db, room).await;
        }
        let mut entries = self.entries.clone();
        entries.extend(rows.into_iter().map(|((_, at), entry)| (at, entry)));
        let after = keep_newer(&mut entries, self.after, |(at, _)| *at);
        let new = history.receipts_since(db, room, self.read_at).await?;
        let is_superseded = |old: &ReceiptEntry| new.iter().any(|new| new.1 == old.1);
        let mut receipts: Vec<_> = self
            .receipts
            .iter()
            .filter(|old| !is_superseded(old))
            .cloned()
            .collect();
        receipts.extend(new);
        let receipts_after = keep_newer(&mut receipts, self.receipts_after, |entry| entry.0);
        let last_entry = entries.last().map(|(at, _)| at.0);
        let last_receipt = receipts.last().map(|entry| entry.0.0);
        Ok(Self {
            read_at: db.stamp(),
            newest: self
                .newest
                .max(last_entry.max(last_receipt).unwrap_or_default()),
            after,
            entries,
            receipts_after,
            receipts,
            state: head.state,
            joined: head.joined,
            invited: head.invited,
        })
    }

    /// The receipts after a stamp; `None` if not all of them are here.
    pub(crate) fn receipts_after(&self, stamp: Stamp) -> Option<&[ReceiptEntry]> {
        let from = self.receipts.partition_point(|entry| entry.0.0 <= stamp);
        (stamp >= self.receipts_after).then(|| &self.receipts[from..])
    }

    /// The state of the room at a token of this stamp.
    pub(crate) async fn state_at(
        &self,
        history: &History,
        db: &Snapshot,
        room: RoomNumber,
        stamp: Stamp,
    ) -> Result<StateRoot, RoomError> {
        let through = self.entries.partition_point(|(at, _)| at.0 <= stamp);
        if through == self.entries.len() && stamp >= self.after {
            return Ok(self.state);
        }
        match through
            .checked_sub(1)
            .and_then(|last| self.entries.get(last))
        {
            Some((_, last)) => Ok(last.state),
            None => history.state_at(db, room, stamp).await,
        }
    }
}

/// Keeps the newer half if there are too many. Gives the stamp after which all are there.
fn keep_newer<T>(rows: &mut Vec<T>, after: Stamp, at: impl Fn(&T) -> Position) -> Stamp {
    if rows.len() <= MOST {
        return after;
    }
    let cut = at(&rows[rows.len() / 2]).0;
    rows.retain(|row| at(row).0 > cut);
    cut
}
