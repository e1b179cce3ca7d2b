//! Counting: the counts that are known, plus what happened since.

use std::{collections::HashSet, hash::Hash, sync::Arc};

use database::{Position, Read, RoomNumber, Snapshot, Stamp, UserNumber};
use protocol::push::PushEvent;
use quick_cache::{Weighter, sync::Cache};
use rooms_history::History;
use rooms_store::{
    RoomError, RoomStore,
    state_map::EventNumber,
    tables::{LogEntry, Receipt, ReceiptKey},
};
use ruma::{OwnedUserId, RoomId};
use tokio_util::task::TaskTracker;

use crate::{
    checkpoint::{self, State},
    counting::{Counting, Progress},
    counts::Unread,
    meaning::Meaning,
    reader::{KnownRules, Reader, Rules},
    stretch::Stretch,
    sweep,
};

#[derive(Clone, Debug)]
pub struct PushConfig {
    /// Bytes of memory for counts and for what events mean.
    pub cache_bytes: u64,
}

/// Unread counts. Cheap to clone.
#[derive(Clone)]
pub struct Push(pub(crate) Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) rooms: RoomStore,
    pub(crate) history: History,
    pub(crate) tasks: TaskTracker,
    /// Owner: this crate, as of the caches below. Bound: three eighths of the bytes given at start. The newest counts of each
    /// reader; they carry the stamp up to which they are right.
    states: Cache<(UserNumber, RoomNumber), Arc<State>, ByBytes>,
    /// Bound: three eighths. The caller knows whether a user was told anything since they were read.
    rules: Cache<UserNumber, KnownRules, ByBytes>,
    /// Bound: an eighth. An event never changes but by redaction, which is looked at before this.
    pub(crate) meanings: Cache<(RoomNumber, EventNumber), Arc<Meaning>, ByBytes>,
    /// Bound: a sixteenth. Likewise.
    pub(crate) parsed: Cache<(RoomNumber, EventNumber), Arc<PushEvent>, ByBytes>,
    /// Bound: a sixteenth. What is in it stays true.
    pub(crate) stretches: Cache<(RoomNumber, Position), Arc<Stretch>, ByBytes>,
    usual_rules: Arc<Rules>,
}

/// The newest part of a room's logs, which many readers share.
#[derive(Clone, Copy, Debug)]
pub struct Recent<'a> {
    /// `entries` is all of the room's log after this stamp.
    pub after: Stamp,
    /// Oldest first.
    pub entries: &'a [(Position, LogEntry)],
    /// `receipts` is all of the room's receipts after this stamp.
    pub receipts_after: Stamp,
    pub receipts: &'a [(Position, ReceiptKey, Receipt)],
}

/// A room, and since when the reader is in it.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub room: RoomNumber,
    pub room_id: &'a RoomId,
    /// Nothing up to here counts.
    pub joined_at: Position,
}

/// Earlier rules of a user, from which on it is asked whether they are still needed.
const MANY_RULES: usize = 8;

#[derive(Clone)]
pub(crate) struct ByBytes;

impl Weighter<(UserNumber, RoomNumber), Arc<State>> for ByBytes {
    fn weight(&self, _: &(UserNumber, RoomNumber), state: &Arc<State>) -> u64 {
        state.weight()
    }
}

impl Weighter<(RoomNumber, EventNumber), Arc<Meaning>> for ByBytes {
    fn weight(&self, _: &(RoomNumber, EventNumber), meaning: &Arc<Meaning>) -> u64 {
        meaning.weight()
    }
}

impl Weighter<(RoomNumber, EventNumber), Arc<PushEvent>> for ByBytes {
    fn weight(&self, _: &(RoomNumber, EventNumber), event: &Arc<PushEvent>) -> u64 {
        event.weight() as u64
    }
}

impl Weighter<(RoomNumber, Position), Arc<Stretch>> for ByBytes {
    fn weight(&self, _: &(RoomNumber, Position), stretch: &Arc<Stretch>) -> u64 {
        stretch.weight()
    }
}

impl Weighter<UserNumber, KnownRules> for ByBytes {
    fn weight(&self, _: &UserNumber, rules: &KnownRules) -> u64 {
        rules.weight
    }
}

/// A cache of so many bytes; `each` only sizes its table.
fn cache<K: Eq + Hash, V: Clone>(bytes: u64, each: u64) -> Cache<K, V, ByBytes>
where
    ByBytes: Weighter<K, V>,
{
    let items = usize::try_from(bytes / each).unwrap_or(usize::MAX);
    Cache::with_weighter(items.max(64), bytes, ByBytes)
}

impl Default for PushConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 4 << 20,
        }
    }
}

impl Push {
    pub fn open(history: History, config: &PushConfig, tasks: TaskTracker) -> Self {
        let rooms = history.rooms().clone();
        let sixteenth = config.cache_bytes / 16;
        Self(Arc::new(Parts {
            usual_rules: Rules::usual(rooms.users()),
            rooms,
            history,
            tasks,
            states: cache(sixteenth * 6, 256),
            rules: cache(sixteenth * 6, 128),
            meanings: cache(sixteenth * 2, 256),
            parsed: cache(sixteenth, 2048),
            stretches: cache(sixteenth, 256),
        }))
    }

    /// Whose counts will be asked for. `is_unchanged` says whether nothing was told to the user after a stamp.
    pub async fn reader(
        &self,
        db: &Snapshot,
        user: UserNumber,
        user_id: OwnedUserId,
        ignored: Arc<HashSet<OwnedUserId>>,
        is_unchanged: impl Fn(Stamp) -> bool,
    ) -> Result<Reader, RoomError> {
        if let Some(known) = self.0.rules.get(&user)
            && is_unchanged(known.read_at.min(db.stamp()))
        {
            return Ok(known.reader(user, user_id, ignored));
        }
        let users = self.0.rooms.users();
        let known = KnownRules::read(users, db, user, &self.0.usual_rules).await?;
        if known.earlier() >= MANY_RULES {
            sweep::forget_rules(&self.0, user);
        }
        self.0.rules.insert(user, known.clone());
        Ok(known.reader(user, user_id, ignored))
    }

    /// What the reader has not read of the room in this snapshot.
    pub async fn unread(
        &self,
        db: &Snapshot,
        reader: &Reader,
        place: &Place<'_>,
        recent: &Recent<'_>,
    ) -> Result<Unread, RoomError> {
        let key = (reader.user, place.room);
        let known = self.0.states.get(&key).filter(|known| {
            known.row.joined_at == place.joined_at && known.row.as_of <= db.stamp()
        });
        let counting = Counting {
            parts: &self.0,
            db,
            reader,
            place,
            recent,
        };
        let mut state = match known {
            Some(known) if counting.is_quiet_since(known.row.as_of) => return Ok(known.unread()),
            Some(known) => {
                let mut state = State::clone(&known);
                let receipts = counting.receipts_since(state.row.as_of).await?;
                counting.read_to(&mut state, &receipts).await?;
                state
            }
            None => counting.begin().await?,
        };
        let begin = state.row.as_of;
        while counting.advance(&mut state, begin).await? == Progress::Part {
            checkpoint::keep(&self.0, key, &mut state);
            tokio::task::yield_now().await;
        }
        if state.is_far_from_checkpoint() {
            checkpoint::keep(&self.0, key, &mut state);
        }
        let unread = state.unread();
        let kept = self.0.states.peek(&key);
        if kept.is_none_or(|kept| kept.row.as_of <= state.row.as_of) {
            self.0.states.insert(key, Arc::new(state));
        }
        Ok(unread)
    }
}
