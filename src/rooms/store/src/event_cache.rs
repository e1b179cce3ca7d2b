//! Recently used events, shared by all readers.
//!
//! Owner: `RoomStore`. Bound: bytes, given at start. One rule invalidates: a commit that rewrites an event's row (a redaction,
//! a new verdict, a new place) calls [`EventCache::rewritten`]. A reader who loaded the event from an older snapshot inserts
//! it only to find, by `rewritten_at`, that it must be removed again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use database::{RoomNumber, Stamp};
use quick_cache::{Weighter, sync::Cache};

use crate::{event::Event, state_map::EventNumber};

#[derive(Clone)]
struct ByBytes;

impl Weighter<(RoomNumber, EventNumber), Arc<Event>> for ByBytes {
    fn weight(&self, _: &(RoomNumber, EventNumber), event: &Arc<Event>) -> u64 {
        event.weight() as u64
    }
}

pub struct EventCache {
    events: Cache<(RoomNumber, EventNumber), Arc<Event>, ByBytes>,
    /// The stamp of the last commit that rewrote an event: older snapshots may be out of date.
    rewritten_at: AtomicU64,
}

impl EventCache {
    /// An event of a chat takes about 1 KiB; the estimate only sizes the table.
    const USUAL_BYTES: u64 = 1024;

    pub(crate) fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / Self::USUAL_BYTES).unwrap_or(usize::MAX);
        Self {
            events: Cache::with_weighter(items.max(64), bytes, ByBytes),
            rewritten_at: AtomicU64::new(0),
        }
    }

    pub fn get(&self, room: RoomNumber, event: EventNumber) -> Option<Arc<Event>> {
        self.events.get(&(room, event))
    }

    /// Keeps an event that was read at `stamp`.
    pub fn insert(&self, stamp: Stamp, event: Arc<Event>) {
        let key = (event.room, event.number);
        if self.rewritten_at.load(Ordering::SeqCst) > stamp.0 {
            return;
        }
        self.events.insert(key, event);
        if self.rewritten_at.load(Ordering::SeqCst) > stamp.0 {
            self.events.remove(&key);
        }
    }

    /// Invalidates an event that the commit at `stamp` rewrote.
    pub fn rewritten(&self, room: RoomNumber, event: EventNumber, stamp: Stamp) {
        self.rewritten_at.fetch_max(stamp.0, Ordering::SeqCst);
        self.events.remove(&(room, event));
    }
}
