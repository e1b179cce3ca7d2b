//! A writer's turn: events are taken in on top of what the room knows and of those taken in before them in the same turn.
//!
//! Local events come from `build`, those of other servers from `receive`; both end in [`Turn::take`], and after that nothing
//! tells them apart. Ids, times and signatures exist before the transaction, whose body may run again.

use std::{collections::HashMap, sync::Arc};

use database::{Millis, Position, Snapshot, StoreError};
use protocol::{authorize::AuthEvent, content::ContentError};
use rooms_store::{
    Membership, RoomError, Verdict,
    state_map::{EventNumber, StateKeyNumber},
    tables::{Extremity, Gap, Thread},
};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId, UserId,
    room_version_rules::RoomVersionRules,
};

use crate::{
    facts::{Facts, Pair, StateEntry},
    handle::RoomWriter,
    send::Transaction,
    state_set::StateSet,
};

/// The event that a redaction empties.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) number: EventNumber,
    pub(crate) id: OwnedEventId,
    /// Its JSON without what redaction takes.
    pub(crate) redacted_json: String,
}

/// Where an event goes in the room's graph, and what the room's state is around it.
#[derive(Clone, Debug)]
pub(crate) enum Placing {
    /// Known only as part of a state or of an auth chain.
    Outlier,
    /// It follows all extremities: the state before it is the current one.
    OnHead,
    /// It follows other events than the extremities.
    Fork(Fork),
    /// It fills a gap in the timeline.
    Filled(Fill),
}

/// The place of an event in a gap.
#[derive(Clone, Debug)]
pub(crate) struct Fill {
    pub(crate) gap: Position,
    pub(crate) position: Position,
    /// The gap's row afterwards.
    pub(crate) row: Gap,
    /// Events that the gap misses from now on.
    pub(crate) now_missing: Vec<OwnedEventId>,
}

/// An event that does not follow all extremities.
#[derive(Clone, Debug)]
pub(crate) struct Fork {
    pub(crate) before: StateSet,
    /// The current state after it; `None` where it is the state after the event itself.
    pub(crate) current: Option<StateSet>,
    /// Previous events that are not held: a gap opens before the event.
    pub(crate) missing: Vec<OwnedEventId>,
}

/// An event with its verdict and place, not stored yet.
pub(crate) struct Pending {
    pub(crate) number: EventNumber,
    pub(crate) id: OwnedEventId,
    pub(crate) json: String,
    /// When it was built or received.
    pub(crate) at: Millis,
    pub(crate) sender: OwnedUserId,
    pub(crate) kind: String,
    pub(crate) state_key: Option<String>,
    pub(crate) membership: Option<Membership>,
    pub(crate) verdict: Verdict,
    pub(crate) placing: Placing,
    /// Its auth events, as far as they are held.
    pub(crate) auth: Vec<EventNumber>,
    /// Auth events that are not held, or whose verdict may still change.
    pub(crate) waits_for: Vec<OwnedEventId>,
    /// Auth events that it waited for until now.
    pub(crate) settled: Vec<OwnedEventId>,
    /// The event in the state before it that it replaces.
    pub(crate) replaces: Option<EventNumber>,
    pub(crate) transaction: Option<Transaction>,
    /// The redaction that emptied it before it arrived.
    pub(crate) redacted_because: Option<EventNumber>,
    pub(crate) redacts: Option<Target>,
    /// The target of a redaction that is not held yet.
    pub(crate) redacts_later: Option<OwnedEventId>,
    pub(crate) thread: Option<Thread>,
    /// Whether this server built it.
    pub(crate) is_new: bool,
}

impl Pending {
    /// Whether the room's timeline and log show it.
    pub(crate) fn is_accepted(&self) -> bool {
        self.verdict == Verdict::Accepted && !matches!(self.placing, Placing::Outlier)
    }
}

/// A state to look into: the current one, or any other.
#[derive(Clone, Copy)]
pub(crate) enum View<'v> {
    Current,
    At(&'v StateSet),
}

/// Why an event is not taken in yet.
#[derive(Debug)]
pub(crate) enum Pause {
    /// What this turn has so far must be committed first.
    CommitFirst,
    /// These states must be resolved first.
    Resolve(Resolution),
    Failed(RoomError),
}

/// States to be resolved, with the event that some of them name and that is not stored yet.
#[derive(Clone, Debug)]
pub(crate) struct Resolution {
    pub(crate) sets: Vec<StateSet>,
    pub(crate) new: Option<crate::resolution::NewEvent>,
}

impl From<RoomError> for Pause {
    fn from(error: RoomError) -> Self {
        Self::Failed(error)
    }
}

impl From<StoreError> for Pause {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<ContentError> for Pause {
    fn from(error: ContentError) -> Self {
        Self::Failed(error.into())
    }
}

impl Pause {
    /// For turns that never pause: those of a new room.
    pub(crate) fn into_error(self) -> RoomError {
        match self {
            Self::Failed(error) => error,
            Self::CommitFirst | Self::Resolve(_) => RoomError::Damaged,
        }
    }
}

pub(crate) struct Turn<'a> {
    pub(crate) writer: &'a RoomWriter,
    pub(crate) db: Snapshot,
    pub(crate) facts: Facts,
    /// What this turn changed in the current state.
    pub(crate) changes: HashMap<Pair, Arc<StateEntry>>,
    pub(crate) pending: Vec<Pending>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(writer: &'a RoomWriter, db: Snapshot, facts: Facts) -> Self {
        Self {
            writer,
            db,
            facts,
            changes: HashMap::new(),
            pending: Vec::new(),
        }
    }

    /// A turn that begins with the create event of a new room.
    pub(crate) async fn for_new_room(
        writer: &'a RoomWriter,
        version: &RoomVersionId,
        rules: &'static RoomVersionRules,
    ) -> Result<Self, RoomError> {
        let db = writer.rooms.snapshot().await?;
        let mut facts = Facts::of_new_room(version, rules);
        if !rules.authorization.room_create_event_id_as_room_id {
            let random = &writer.shared.random;
            let id = format!("!{}:{}", random.token(18), writer.rooms.server_name());
            facts.room_id = Some(OwnedRoomId::try_from(id).map_err(|_| RoomError::Damaged)?);
        }
        Ok(Self::new(writer, db, facts))
    }

    /// One piece of the current state, with what this turn has changed.
    pub(crate) async fn entry(
        &mut self,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<Arc<StateEntry>>, RoomError> {
        let pair: Pair = (kind.into(), state_key.into());
        if let Some(changed) = self.changes.get(&pair) {
            return Ok(Some(changed.clone()));
        }
        self.facts.entry(self.writer, &self.db, &pair).await
    }

    /// One piece of any state.
    pub(crate) async fn entry_in(
        &mut self,
        view: View<'_>,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<Arc<StateEntry>>, RoomError> {
        let set = match view {
            View::Current => return self.entry(kind, state_key).await,
            View::At(set) => set,
        };
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let rooms = &self.writer.rooms;
        let Some(key) = self.state_key_number(kind, state_key).await? else {
            return Ok(None);
        };
        match set.get(rooms, &self.db, room, key).await? {
            Some(number) => StateEntry::load(self.writer, &self.db, room, number)
                .await
                .map(Some),
            None => Ok(None),
        }
    }

    /// The number of a (type, state key) pair; `None` if no room ever had it.
    pub(crate) async fn state_key_number(
        &self,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<StateKeyNumber>, RoomError> {
        let numbers = self.writer.rooms.numbers();
        Ok(numbers.find_state_key(&self.db, kind, state_key).await?)
    }

    /// The current membership of a user, with what this turn has changed.
    pub(crate) async fn membership(
        &mut self,
        user: &UserId,
    ) -> Result<Option<Membership>, RoomError> {
        let entry = self.entry("m.room.member", user.as_str()).await?;
        Ok(entry.and_then(|entry| entry.membership))
    }

    /// Takes an event into the turn: from here on nothing depends on where it came from. `extremities` are those after it.
    pub(crate) fn take(
        &mut self,
        pending: Pending,
        event: &AuthEvent,
        extremities: Option<Vec<Extremity>>,
    ) {
        if let Some(extremities) = extremities {
            self.facts.head.extremities = extremities;
        }
        let is_on_head = matches!(pending.placing, Placing::OnHead);
        if let Some(state_key) = pending
            .state_key
            .as_deref()
            .filter(|_| is_on_head && pending.is_accepted())
        {
            let entry = StateEntry {
                number: pending.number,
                event: event.clone(),
                membership: pending.membership,
            };
            let pair = (pending.kind.as_str().into(), state_key.into());
            self.changes.insert(pair, Arc::new(entry));
        }
        self.pending.push(pending);
    }
}
