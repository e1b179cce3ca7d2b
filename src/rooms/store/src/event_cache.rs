//! Recently used events, shared by all readers.
//!
//! Owner: `Rooms`. Bound: bytes, given at start. An event changes only by redaction: the room's writer removes it after
//! that commit. A reader who loaded it from an older snapshot puts it back only to find, by `redacted_at`, that it must
//! take it out again.

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
    /// The stamp of the last redaction: what an older snapshot says may be out of date.
    redacted_at: AtomicU64,
}

impl EventCache {
    /// An event of a chat takes about 1 KiB; the estimate only sizes the table.
    const USUAL_BYTES: u64 = 1024;

    pub(crate) fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / Self::USUAL_BYTES).unwrap_or(usize::MAX);
        Self {
            events: Cache::with_weighter(items.max(64), bytes, ByBytes),
            redacted_at: AtomicU64::new(0),
        }
    }

    pub fn get(&self, room: RoomNumber, event: EventNumber) -> Option<Arc<Event>> {
        self.events.get(&(room, event))
    }

    /// Keeps an event that was read at `stamp`.
    pub fn insert(&self, stamp: Stamp, event: Arc<Event>) {
        let key = (event.room, event.number);
        if self.redacted_at.load(Ordering::SeqCst) > stamp.0 {
            return;
        }
        self.events.insert(key, event);
        if self.redacted_at.load(Ordering::SeqCst) > stamp.0 {
            self.events.remove(&key);
        }
    }

    /// Forgets an event that the commit at `stamp` rewrote.
    pub fn redacted(&self, room: RoomNumber, event: EventNumber, stamp: Stamp) {
        self.redacted_at.fetch_max(stamp.0, Ordering::SeqCst);
        self.events.remove(&(room, event));
    }
}
