//! The events around an event (client-server API, "Event context"), and a single event.

use std::sync::Arc;

use database::{Read, RoomNumber, Snapshot};
use ruma::{EventId, RoomId};

use super::{Direction, Reader, messages::MOST_EVENTS, walk::Range};
use crate::{filter::EventFilter, handle::History, token::PaginationToken, visibility::Viewer};
use rooms_store::{Event, RoomError};

/// What a client asks of `/context`.
#[derive(Clone, Debug)]
pub struct ContextRequest {
    /// Of the events before and after it together.
    pub limit: usize,
    pub filter: EventFilter,
}

/// The answer; all but the tokens are elements of JSON lists, and `event` one object.
#[derive(Clone, Debug)]
pub struct Context {
    pub start: PaginationToken,
    pub end: PaginationToken,
    pub before: Vec<u8>,
    pub event: Vec<u8>,
    pub after: Vec<u8>,
    pub state: Vec<u8>,
}

impl History {
    /// One event as the reader sees it. What they may not see, they are not told of.
    pub async fn event_for(
        &self,
        room_id: &RoomId,
        reader: &Reader,
        event_id: &EventId,
    ) -> Result<Vec<u8>, RoomError> {
        let db = self.rooms.snapshot().await?;
        let room = self
            .rooms
            .number(&db, room_id)
            .await?
            .ok_or(RoomError::UnknownEvent)?;
        let mut viewer = self.viewer(&db, room, reader.user).await?;
        let event = self.seen_event(&db, room, &mut viewer, event_id).await?;
        let mut out = Vec::new();
        let device = Some(&*reader.device);
        self.write_events(&mut out, &db, &mut viewer, device, &[event], Some(room_id))
            .await?;
        Ok(out)
    }

    pub async fn context(
        &self,
        room_id: &RoomId,
        reader: &Reader,
        event_id: &EventId,
        request: &ContextRequest,
    ) -> Result<Context, RoomError> {
        let db = self.rooms.snapshot().await?;
        let (room, _) = self.require_standing(&db, room_id, reader.user).await?;
        let mut viewer = self.viewer(&db, room, reader.user).await?;
        let event = self.seen_event(&db, room, &mut viewer, event_id).await?;
        let gap_before = PaginationToken::before(event.position, db.stamp());
        let gap_after = PaginationToken::after(event.position, db.stamp());
        let limit = request.limit.min(MOST_EVENTS);
        let filter = &request.filter;
        let range = |direction, from: PaginationToken| Range {
            room,
            direction,
            from: from.position,
            to: None,
        };
        let back = range(Direction::Backward, gap_before);
        let before = self
            .walk(&db, &mut viewer, filter, back, limit / 2)
            .await?
            .events;
        let on = range(Direction::Forward, gap_after);
        let after = self
            .walk(&db, &mut viewer, filter, on, limit - limit / 2)
            .await?
            .events;
        let mut context = Context {
            start: before.last().map_or(gap_before, |first| {
                PaginationToken::before(first.position, db.stamp())
            }),
            end: after.last().map_or(gap_after, |last| {
                PaginationToken::after(last.position, db.stamp())
            }),
            before: Vec::new(),
            event: Vec::new(),
            after: Vec::new(),
            state: Vec::new(),
        };
        let device = Some(&*reader.device);
        let room_id = Some(room_id);
        let parts = [
            (&mut context.before, &before[..]),
            (&mut context.event, std::slice::from_ref(&event)),
            (&mut context.after, &after[..]),
        ];
        for (out, events) in parts {
            self.write_events(out, &db, &mut viewer, device, events, room_id)
                .await?;
        }
        let state = self
            .context_state(&db, filter, &before, &event, &after)
            .await?;
        self.write_state(&mut context.state, &db, &state, room_id)
            .await?;
        Ok(context)
    }

    /// The room's state at the last event of a context; of the members, only who speaks in it where the client asks so.
    async fn context_state(
        &self,
        db: &Snapshot,
        filter: &EventFilter,
        before: &[Arc<Event>],
        event: &Arc<Event>,
        after: &[Arc<Event>],
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let last = after.last().unwrap_or(event);
        let root = match last.placement() {
            Some(placement) => placement.after(),
            None => self.rooms.head(db, event.room).await?.state,
        };
        let mut state = self.state_events(db, event.room, root).await?;
        if filter.lazy_members {
            let all: Vec<_> = before.iter().chain([event]).chain(after).cloned().collect();
            state.retain(|event| &*event.kind != "m.room.member");
            state.extend(self.speakers(db, event.room, &all).await?);
        }
        state.retain(|event| filter.matches(event));
        Ok(state)
    }

    /// An event that the reader may see; what they may not see does not exist for them.
    pub(crate) async fn seen_event(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        viewer: &mut Viewer,
        event_id: &EventId,
    ) -> Result<Arc<Event>, RoomError> {
        let event = self
            .rooms
            .event_by_id(db, room, event_id)
            .await?
            .ok_or(RoomError::UnknownEvent)?;
        let visible = viewer
            .visible(&self.rooms, db, std::slice::from_ref(&event))
            .await?;
        if visible == [true] {
            Ok(event)
        } else {
            Err(RoomError::UnknownEvent)
        }
    }
}
