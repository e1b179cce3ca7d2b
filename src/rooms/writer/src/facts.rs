//! What a writer knows of its room: where it stands, and those pieces of its state that it needed lately.
//!
//! Never the whole state decoded: at most `ENTRIES` pieces, dropped all at once when there are more.

use std::{collections::HashMap, sync::Arc};

use database::{RoomNumber, Snapshot};
use protocol::{authorize::AuthEvent, room_version};
use ruma::{OwnedRoomId, RoomVersionId, room_version_rules::RoomVersionRules};

use crate::handle::RoomWriter;
use rooms_store::{
    RoomError,
    state_map::{EventNumber, StateRoot},
    tables::{Membership, RoomHead},
};

const ENTRIES: usize = 1024;

/// (type, state key).
pub(crate) type Pair = (Box<str>, Box<str>);

/// One piece of a room's state, parsed as far as authorization needs.
#[derive(Debug)]
pub(crate) struct StateEntry {
    pub(crate) number: EventNumber,
    pub(crate) event: AuthEvent,
    pub(crate) membership: Option<Membership>,
}

pub(crate) struct Facts {
    /// `None` for a room that is being created.
    pub(crate) room: Option<RoomNumber>,
    /// `None` until the create event of a version 12 room gives it.
    pub(crate) room_id: Option<OwnedRoomId>,
    pub(crate) rules: &'static RoomVersionRules,
    pub(crate) head: RoomHead,
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
        Ok(Self {
            room: Some(room),
            room_id: Some(writer.rooms.room_id(db, room).await?),
            rules: room_version::rules(&version).ok_or(RoomError::Damaged)?,
            head,
            state: HashMap::new(),
        })
    }

    /// A room that has nothing yet.
    pub(crate) fn of_new_room(version: &RoomVersionId, rules: &'static RoomVersionRules) -> Self {
        let head = RoomHead {
            version: version.to_string(),
            extremities: Vec::new(),
            state: StateRoot::EMPTY,
            joined: 0,
            invited: 0,
            backfilled_down_to: 1 << 63,
            events: 0,
        };
        Self {
            room: None,
            room_id: None,
            rules,
            head,
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
        let event = writer.rooms.named_event(db, room, number).await?;
        let parsed =
            AuthEvent::parse(event.id.clone(), event.json()).map_err(|_| RoomError::Damaged)?;
        let entry = StateEntry {
            number,
            event: parsed,
            membership: event.membership,
        };
        Ok(Some(Arc::new(entry)))
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
