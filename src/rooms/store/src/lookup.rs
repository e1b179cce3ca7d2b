//! Reading single facts of a room from a snapshot: its number, its head, its events, one piece of its state.
//!
//! Lookups always name the room: an event of another room is the same as no event.

use std::sync::Arc;

use database::{Position, Read, RoomNumber, Snapshot, StoreError, UserNumber};
use ruma::{EventId, OwnedRoomId, RoomId};

use crate::{
    error::RoomError,
    event::Event,
    handle::RoomStore,
    state_map::{EventNumber, StateRoot},
    tables::{
        ALIASES, EVENT_NUMBERS, EVENTS, MEMBERS, Member, Membership, ROOM_HEADS, ROOM_LOG,
        RoomHead, USER_ROOMS, UserRoom,
    },
};

impl RoomStore {
    /// The number of a room that this server knows.
    pub async fn number(
        &self,
        db: &impl Read,
        room_id: &RoomId,
    ) -> Result<Option<RoomNumber>, StoreError> {
        self.numbers().find_room(db, room_id.as_str()).await
    }

    /// The number of a room, or `UnknownRoom`.
    pub async fn require(&self, db: &impl Read, room_id: &RoomId) -> Result<RoomNumber, RoomError> {
        self.number(db, room_id)
            .await?
            .ok_or(RoomError::UnknownRoom)
    }

    /// The id of a room by its number.
    pub async fn room_id(
        &self,
        db: &impl Read,
        room: RoomNumber,
    ) -> Result<OwnedRoomId, RoomError> {
        let text = self
            .numbers()
            .room_id(db, room)
            .await?
            .ok_or(RoomError::UnknownRoom)?;
        OwnedRoomId::try_from(&*text).map_err(|_| RoomError::Damaged)
    }

    /// Where a room stands, or `UnknownRoom`.
    pub async fn head(&self, db: &impl Read, room: RoomNumber) -> Result<RoomHead, RoomError> {
        db.get(ROOM_HEADS.at(room))
            .await?
            .ok_or(RoomError::UnknownRoom)
    }

    /// One event by its number, whatever its verdict.
    pub async fn event(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        event: EventNumber,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        if let Some(event) = self.events().get(room, event) {
            return Ok(Some(event));
        }
        let Some(row) = db.get(EVENTS.at((room, event))).await? else {
            return Ok(None);
        };
        let event = Event::from_row(room, event, row)?;
        self.events().insert(db.stamp(), event.clone());
        Ok(Some(event))
    }

    /// One event that a row of ours names: it is there, or the database is damaged.
    pub async fn named_event(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        event: EventNumber,
    ) -> Result<Arc<Event>, RoomError> {
        self.event(db, room, event).await?.ok_or(RoomError::Damaged)
    }

    /// Many events that rows of ours name, in the order asked: all are there, or the database is damaged.
    pub async fn named_events(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        events: &[EventNumber],
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let found = self.readable_events(db, room, events).await?;
        if found.len() < events.len() {
            return Err(RoomError::Damaged);
        }
        Ok(found)
    }

    /// Those of the events that can be read, in the order asked. One that cannot is logged and left out, so that it does not
    /// take a whole page or a sync with it.
    pub async fn readable_events(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        events: &[EventNumber],
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let mut found: Vec<Option<Arc<Event>>> = events
            .iter()
            .map(|event| self.events().get(room, *event))
            .collect();
        let missing: Vec<usize> = (0..found.len()).filter(|at| found[*at].is_none()).collect();
        if !missing.is_empty() {
            let rows = missing
                .iter()
                .map(|at| EVENTS.at((room, events[*at])))
                .collect();
            let rows = db.get_many(rows).await?;
            for (at, row) in missing.into_iter().zip(rows) {
                let id = row.as_ref().map(|row| row.value.event_id.clone());
                let event = row.map(|row| Event::from_row(room, events[at], row));
                if let Some(Ok(event)) = event {
                    self.events().insert(db.stamp(), event.clone());
                    found[at] = Some(event);
                } else {
                    let id = id.as_deref();
                    tracing::error!(event.id = id, "a stored event cannot be read");
                }
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// One event by its id.
    pub async fn event_by_id(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        id: &EventId,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        match db.get(EVENT_NUMBERS.at((room, id.as_str()))).await? {
            Some(number) => self.event(db, room, number).await,
            None => Ok(None),
        }
    }

    /// The current state of a room as it was when everything up to this position had happened.
    pub async fn state_at(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        position: Position,
    ) -> Result<StateRoot, RoomError> {
        if position.0 >= db.stamp() {
            return Ok(self.head(db, room).await?.state);
        }
        let rows = ROOM_LOG.under(room).through((room, position)).reversed();
        let last = db.first(rows).await?;
        Ok(last.map_or(StateRoot::EMPTY, |(_, entry)| entry.state))
    }

    /// One event of the state that `root` names.
    pub async fn state_event(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        root: StateRoot,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let Some(key) = self.numbers().find_state_key(db, kind, state_key).await? else {
            return Ok(None);
        };
        match self.states().get(db, room, root, key).await? {
            Some(number) => self.named_event(db, room, number).await.map(Some),
            None => Ok(None),
        }
    }

    /// A user's membership of a room as it is now.
    pub async fn member(
        &self,
        db: &impl Read,
        room: RoomNumber,
        user: UserNumber,
    ) -> Result<Option<Member>, StoreError> {
        Ok(db.get(MEMBERS.at((room, user))).await?.map(|row| row.value))
    }

    /// Whether a user has joined a room.
    pub async fn is_joined(
        &self,
        db: &impl Read,
        room: RoomNumber,
        user: UserNumber,
    ) -> Result<bool, StoreError> {
        let member = self.member(db, room, user).await?;
        Ok(member.is_some_and(|member| member.membership == Membership::Join))
    }

    /// What a user has to do with a room.
    pub async fn user_room(
        &self,
        db: &impl Read,
        user: UserNumber,
        room: RoomNumber,
    ) -> Result<Option<UserRoom>, StoreError> {
        Ok(db
            .get(USER_ROOMS.at((user, room)))
            .await?
            .map(|row| row.value))
    }

    /// The room that an alias of this server points to.
    pub async fn alias_target(
        &self,
        db: &impl Read,
        alias: &str,
    ) -> Result<Option<RoomNumber>, StoreError> {
        Ok(db.get(ALIASES.at(alias)).await?.map(|alias| alias.room))
    }
}
