//! A page of messages, with the members that a client needs to show it.

use std::{collections::HashMap, sync::Arc};

use database::{Read, RoomNumber, Snapshot};
use ruma::{OwnedUserId, RoomId};

use super::{Direction, Reader, walk::Range};
use crate::{
    filter::EventFilter,
    handle::History,
    token::{AnyToken, PaginationToken},
};
use rooms_store::{Event, RoomError};

/// What a client asks of `/messages`.
#[derive(Clone, Debug)]
pub struct MessagesRequest {
    pub from: Option<AnyToken>,
    pub to: Option<AnyToken>,
    pub direction: Direction,
    pub limit: usize,
    pub filter: EventFilter,
}

/// The answer; `chunk` and `state` are the elements of JSON lists.
#[derive(Clone, Debug)]
pub struct MessagesPage {
    pub start: PaginationToken,
    /// Where to go on; `None` where nothing more is there for the reader.
    pub end: Option<PaginationToken>,
    pub chunk: Vec<u8>,
    pub state: Vec<u8>,
}

/// Events of one page.
pub(super) const MOST_EVENTS: usize = 1_000;

impl History {
    pub async fn messages(
        &self,
        room_id: &RoomId,
        reader: &Reader,
        request: &MessagesRequest,
    ) -> Result<MessagesPage, RoomError> {
        let db = self.rooms.snapshot().await?;
        let (room, _) = self.require_standing(&db, room_id, reader.user).await?;
        let start = match (request.from, request.direction) {
            (Some(token), _) => token.pagination(),
            (None, Direction::Forward) => PaginationToken::beginning(db.stamp()),
            (None, Direction::Backward) => PaginationToken::after_stamp(db.stamp()),
        };
        let mut page = MessagesPage {
            start,
            end: None,
            chunk: Vec::new(),
            state: Vec::new(),
        };
        if !request.filter.allows_room(room_id) {
            return Ok(page);
        }
        let range = Range {
            room,
            direction: request.direction,
            from: start.position,
            to: request.to.map(|token| token.pagination().position),
        };
        let mut viewer = self.viewer(&db, room, reader.user).await?;
        let limit = request.limit.clamp(1, MOST_EVENTS);
        let walked = self
            .walk(&db, &mut viewer, &request.filter, range, limit)
            .await?;
        page.end = walked
            .stopped
            .map(|gap| PaginationToken::after(gap, start.stamp));
        page.chunk
            .reserve(walked.events.iter().map(|event| event.json().len()).sum());
        let (events, device) = (&walked.events, Some(&*reader.device));
        self.write_events(
            &mut page.chunk,
            &db,
            &mut viewer,
            device,
            events,
            Some(room_id),
        )
        .await?;
        if request.filter.lazy_members {
            let members = self.speakers(&db, room, events).await?;
            self.write_state(&mut page.state, &db, &members, Some(room_id))
                .await?;
        }
        Ok(page)
    }

    /// The member events of those who sent these, as they were when each spoke last.
    pub(super) async fn speakers(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        events: &[Arc<Event>],
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let mut last: HashMap<&OwnedUserId, &Arc<Event>> = HashMap::new();
        for event in events {
            let known = last.entry(&event.sender).or_insert(event);
            if event.position > known.position {
                *known = event;
            }
        }
        let mut spoken: Vec<&Arc<Event>> = last.into_values().collect();
        spoken.sort_unstable_by_key(|event| event.position);
        let mut members = Vec::with_capacity(spoken.len());
        for event in spoken {
            let sender = event.sender.as_str();
            let before = match event.state_before() {
                Some(root) => {
                    self.rooms
                        .state_event(db, room, root, "m.room.member", sender)
                        .await?
                }
                None => None,
            };
            // Whoever was not there before came by one of these: the creator, or who joined.
            let is_own = |event: &&Arc<Event>| {
                &*event.kind == "m.room.member" && event.state_key.as_deref() == Some(sender)
            };
            members.extend(before.or_else(|| events.iter().find(is_own).cloned()));
        }
        Ok(members)
    }
}
