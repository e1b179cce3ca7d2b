//! What a writer knows of its room: where it stands, and those pieces of its state that it needed lately.
//!
//! Never the whole state decoded: at most `ENTRIES` pieces, dropped all at once when there are more.

use std::{collections::HashMap, sync::Arc};

use database::{Read as _, RoomNumber, Snapshot};
use protocol::{
    authorize::{self, AuthEvent},
    room_version,
};
use ruma::{OwnedRoomId, RoomId, RoomVersionId, room_version_rules::RoomVersionRules};

use crate::{handle::RoomWriter, state_set::StateSet};
use rooms_store::{
    RoomError,
    state_map::{EventNumber, StateRoot},
    tables::{AUTH_WAITERS, Membership, Residency, RoomHead},
};

const ENTRIES: usize = 1024;
/// Resolved states that are kept.
const RESOLUTIONS: usize = 64;
/// Reserved numbers of events.
const RESERVED: usize = 256;

/// (type, state key).
pub(crate) type Pair = (Box<str>, Box<str>);

/// One piece of a room's state, parsed as far as authorization needs.
#[derive(Debug)]
pub(crate) struct StateEntry {
    pub(crate) number: EventNumber,
    pub(crate) event: AuthEvent,
    pub(crate) membership: Option<Membership>,
}

impl StateEntry {
    /// Reads a state event for authorization.
    pub(crate) async fn load(
        writer: &RoomWriter,
        db: &Snapshot,
        room: RoomNumber,
        number: EventNumber,
    ) -> Result<Arc<Self>, RoomError> {
        let event = writer.rooms.named_event(db, room, number).await?;
        let parsed =
            AuthEvent::parse(event.id.clone(), event.json()).map_err(|_| RoomError::Damaged)?;
        Ok(Arc::new(Self {
            number,
            event: parsed,
            membership: event.membership,
        }))
    }
}

pub(crate) struct Facts {
    /// `None` for a room that is being created.
    pub(crate) room: Option<RoomNumber>,
    /// `None` until the create event of a version 12 room gives it.
    pub(crate) room_id: Option<OwnedRoomId>,
    pub(crate) rules: &'static RoomVersionRules,
    pub(crate) head: RoomHead,
    /// The create event, where the room's id names it: it is no auth event then.
    pub(crate) create: Option<AuthEvent>,
    /// Whether any event waits for the verdict of another one.
    pub(crate) has_waiters: bool,
    /// States that were resolved, by the states that they come from. Bound: `RESOLUTIONS`. A verdict that changes empties it.
    pub(crate) resolutions: HashMap<Vec<StateSet>, StateSet>,
    /// Numbers of events that wait for a resolution, which names them: they keep their number when they re-enter. Bound:
    /// `RESERVED`.
    reserved: HashMap<String, EventNumber>,
    state: HashMap<Pair, Option<Arc<StateEntry>>>,
}

impl Facts {
    pub(crate) async fn load(
        writer: &RoomWriter,
        db: &Snapshot,
        room: RoomNumber,
    ) -> Result<Self, RoomError> {
        let head = writer.rooms.head(db, room).await?;
        let version =
            RoomVersionId::try_from(head.version.as_str()).map_err(|_| RoomError::Damaged)?;
        let mut facts = Self {
            room: Some(room),
            room_id: Some(writer.rooms.room_id(db, room).await?),
            rules: room_version::rules(&version).ok_or(RoomError::Damaged)?,
            head,
            create: None,
            has_waiters: db.first(AUTH_WAITERS.under(room)).await?.is_some(),
            resolutions: HashMap::new(),
            reserved: HashMap::new(),
            state: HashMap::new(),
        };
        facts.find_create(writer, db).await?;
        Ok(facts)
    }

    /// Reads the create event, where the room's id names it and it is held.
    pub(crate) async fn find_create(
        &mut self,
        writer: &RoomWriter,
        db: &Snapshot,
    ) -> Result<(), RoomError> {
        if let (true, Some(room), Some(room_id)) =
            (self.names_its_create(), self.room, &self.room_id)
        {
            self.create = create_event(writer, db, room, room_id).await?;
        }
        Ok(())
    }

    /// Whether the room's id is the hash of its create event.
    pub(crate) fn names_its_create(&self) -> bool {
        self.rules.authorization.room_create_event_id_as_room_id
    }

    /// A room that has nothing yet.
    pub(crate) fn of_new_room(version: &RoomVersionId, rules: &'static RoomVersionRules) -> Self {
        let head = RoomHead {
            version: version.to_string(),
            revision: 0,
            residency: Residency::Resident,
            extremities: Vec::new(),
            state: StateRoot::EMPTY,
            joined: 0,
            invited: 0,
        };
        Self {
            room: None,
            room_id: None,
            rules,
            head,
            create: None,
            has_waiters: false,
            resolutions: HashMap::new(),
            reserved: HashMap::new(),
            state: HashMap::new(),
        }
    }

    /// One piece of the state as it is on disk.
    pub(crate) async fn entry(
        &mut self,
        writer: &RoomWriter,
        db: &Snapshot,
        pair: &Pair,
    ) -> Result<Option<Arc<StateEntry>>, RoomError> {
        if let Some(known) = self.state.get(pair) {
            return Ok(known.clone());
        }
        let entry = self.load_entry(writer, db, pair).await?;
        if self.state.len() >= ENTRIES {
            self.state.clear();
        }
        self.state.insert(pair.clone(), entry.clone());
        Ok(entry)
    }

    async fn load_entry(
        &self,
        writer: &RoomWriter,
        db: &Snapshot,
        (kind, state_key): &Pair,
    ) -> Result<Option<Arc<StateEntry>>, RoomError> {
        let Some(room) = self.room else {
            return Ok(None);
        };
        let Some(key) = writer
            .rooms
            .numbers()
            .find_state_key(db, kind, state_key)
            .await?
        else {
            return Ok(None);
        };
        let root = self.head.state;
        let Some(number) = writer.rooms.states().get(db, room, root, key).await? else {
            return Ok(None);
        };
        StateEntry::load(writer, db, room, number).await.map(Some)
    }

    /// Drops what is known of the current state: it changed in more than the events of a turn.
    pub(crate) fn forget_state(&mut self) {
        self.state.clear();
    }

    /// The number of a new event, the same until it is committed. `id` is empty for the event of a local intent, whose id is
    /// another one each time it is built.
    pub(crate) async fn reserve(
        &mut self,
        writer: &RoomWriter,
        id: &str,
    ) -> Result<EventNumber, RoomError> {
        if let Some(number) = self.reserved.get(id) {
            return Ok(*number);
        }
        let number = writer.rooms.numbers().next_event().await?;
        if self.reserved.len() >= RESERVED {
            self.reserved.clear();
        }
        self.reserved.insert(id.to_owned(), number);
        Ok(number)
    }

    /// The event of this number is committed, or will be with this turn.
    pub(crate) fn release(&mut self, id: &str) {
        self.reserved.remove(id);
    }

    /// Keeps what a resolution came to.
    pub(crate) fn learn_resolution(&mut self, sets: Vec<StateSet>, resolved: StateSet) {
        if self.resolutions.len() >= RESOLUTIONS {
            self.resolutions.clear();
        }
        self.resolutions.insert(sets, resolved);
    }

    /// What has just been committed.
    pub(crate) fn learn(&mut self, changes: HashMap<Pair, Arc<StateEntry>>) {
        if self.state.len() + changes.len() > ENTRIES {
            self.state.clear();
        }
        self.state
            .extend(changes.into_iter().map(|(pair, entry)| (pair, Some(entry))));
    }

    /// A redaction changed this piece of state: it is read again when it is needed.
    pub(crate) fn forget_event(&mut self, event: EventNumber) {
        self.state
            .retain(|_, entry| entry.as_ref().is_none_or(|entry| entry.number != event));
    }
}

/// The create event that the room's id names, if it is held.
async fn create_event(
    writer: &RoomWriter,
    db: &Snapshot,
    room: RoomNumber,
    room_id: &RoomId,
) -> Result<Option<AuthEvent>, RoomError> {
    let Some(id) = authorize::create_event_id(room_id) else {
        return Ok(None);
    };
    let Some(event) = writer.rooms.event_by_id(db, room, &id).await? else {
        return Ok(None);
    };
    let parsed = AuthEvent::parse(id, event.json()).map_err(|_| RoomError::Damaged)?;
    Ok(Some(parsed))
}
