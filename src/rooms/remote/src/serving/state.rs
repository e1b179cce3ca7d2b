//! The state of a room before an event, and auth chains.

use std::sync::Arc;

use database::Snapshot;
use rooms_store::{Event, RoomError};
use ruma::{EventId, OwnedEventId, RoomId, ServerName};

use super::access::{ServedRoom, is_servable};
use crate::handle::RemoteRooms;

/// Bytes of events in one answer: as much as this server itself accepts.
const MOST_BYTES: usize = 256 << 20;

/// A state with its auth chain. A server in the room gets the state whole: without it, it could authorize nothing.
#[derive(Clone, Debug)]
pub struct ServedState {
    pub state: Vec<Arc<Event>>,
    pub auth_chain: Vec<Arc<Event>>,
}

impl RemoteRooms {
    /// The state before an event.
    pub async fn state_for(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
    ) -> Result<ServedState, RoomError> {
        let db = self.rooms().snapshot().await?;
        let room = self.served_room(&db, room_id, server).await?;
        let event = self.served_event(&db, &room, event_id).await?;
        let root = event.state_before().ok_or(RoomError::UnknownEvent)?;
        let state = self.history().state_events(&db, room.room, root).await?;
        let auth_chain = self.chain_events(&db, &room, &state).await?;
        let served = ServedState { state, auth_chain };
        served.check_size()?;
        Ok(served)
    }

    /// The ids of the events of [`RemoteRooms::state_for`].
    pub async fn state_ids_for(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
    ) -> Result<(Vec<OwnedEventId>, Vec<OwnedEventId>), RoomError> {
        let served = self.state_for(server, room_id, event_id).await?;
        let ids = |events: &[Arc<Event>]| events.iter().map(|event| event.id.clone()).collect();
        Ok((ids(&served.state), ids(&served.auth_chain)))
    }

    /// The auth chain of an event.
    pub async fn auth_chain_for(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        event_id: &EventId,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let db = self.rooms().snapshot().await?;
        let room = self.served_room(&db, room_id, server).await?;
        let event = self.served_event(&db, &room, event_id).await?;
        self.chain_events(&db, &room, &[event]).await
    }

    async fn served_event(
        &self,
        db: &Snapshot,
        room: &ServedRoom,
        event_id: &EventId,
    ) -> Result<Arc<Event>, RoomError> {
        let event = self.rooms().event_by_id(db, room.room, event_id).await?;
        event
            .filter(|event| is_servable(event))
            .ok_or(RoomError::UnknownEvent)
    }

    pub(super) async fn chain_events(
        &self,
        db: &Snapshot,
        room: &ServedRoom,
        of: &[Arc<Event>],
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let numbers = self.auth_chain(db, room.room, of).await?;
        self.rooms().named_events(db, room.room, &numbers).await
    }
}

impl ServedState {
    pub(super) fn check_size(&self) -> Result<(), RoomError> {
        let events = self.state.iter().chain(&self.auth_chain);
        let bytes: usize = events.map(|event| event.json().len()).sum();
        if bytes > MOST_BYTES {
            return Err(RoomError::TooLarge);
        }
        Ok(())
    }
}
