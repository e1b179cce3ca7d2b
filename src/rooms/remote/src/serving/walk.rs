//! Walks over a room's graph, from newer events to older ones, bounded in count.

use std::{
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
    sync::Arc,
};

use database::Snapshot;
use rooms_store::{Event, Place, RoomError, state_map::EventNumber};
use ruma::{OwnedEventId, RoomId, ServerName};

use super::access::{Served, ServedRoom, is_servable};
use crate::handle::RemoteRooms;

/// Events of one answer of backfill.
const LONGEST_BACKFILL: usize = 100;
/// Events of one answer of missing events.
const MOST_MISSING: usize = 50;
/// Events that a request may name.
const MOST_NAMED: usize = 100;
/// Events looked at for one answer: rejected ones count.
const MOST_LOOKED_AT: usize = 500;

impl RemoteRooms {
    /// Events and what precedes them, newest first.
    pub async fn backfill_for(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        from: &[OwnedEventId],
        limit: usize,
    ) -> Result<Vec<Served>, RoomError> {
        let db = self.rooms().snapshot().await?;
        let mut room = self.served_room(&db, room_id, server).await?;
        let limit = limit.min(LONGEST_BACKFILL);
        let mut seen: HashSet<OwnedEventId> = HashSet::new();
        let mut held: HashMap<EventNumber, Arc<Event>> = HashMap::new();
        let mut ahead = BinaryHeap::new();
        let mut found = Vec::new();
        let mut next: Vec<OwnedEventId> = from.iter().take(MOST_NAMED).cloned().collect();
        let mut looked_at = 0;
        loop {
            next.retain(|id| seen.insert(id.clone()));
            for event in self.in_graph(&db, &room, &next).await? {
                ahead.push((event.depth, event.position, event.number));
                held.insert(event.number, event);
            }
            let Some(event) = ahead.pop().and_then(|(_, _, number)| held.remove(&number)) else {
                break;
            };
            looked_at += 1;
            next = previous(&event)?;
            if is_servable(&event) {
                found.push(event);
            }
            if found.len() >= limit || looked_at >= MOST_LOOKED_AT {
                break;
            }
        }
        self.serve(&db, &mut room, found).await
    }

    /// The events between `latest` and `earliest`, without both, oldest first.
    pub async fn missing_events_for(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        (earliest, latest): (&[OwnedEventId], &[OwnedEventId]),
        min_depth: u64,
        limit: usize,
    ) -> Result<Vec<Served>, RoomError> {
        let db = self.rooms().snapshot().await?;
        let mut room = self.served_room(&db, room_id, server).await?;
        let limit = limit.min(MOST_MISSING);
        let latest: Vec<OwnedEventId> = latest.iter().take(MOST_NAMED).cloned().collect();
        let mut seen: HashSet<OwnedEventId> = earliest.iter().take(MOST_NAMED).cloned().collect();
        seen.extend(latest.iter().cloned());
        let first = self.in_graph(&db, &room, &latest).await?;
        let mut ahead: VecDeque<Arc<Event>> = first.into();
        let mut found: Vec<Arc<Event>> = Vec::new();
        let mut looked_at = 0;
        while let Some(event) = ahead.pop_front() {
            looked_at += 1;
            if found.len() >= limit || looked_at >= MOST_LOOKED_AT {
                break;
            }
            let mut next = previous(&event)?;
            next.retain(|id| seen.insert(id.clone()));
            for event in self.in_graph(&db, &room, &next).await? {
                if event.depth < min_depth {
                    continue;
                }
                if found.len() < limit && is_servable(&event) {
                    found.push(event.clone());
                }
                ahead.push_back(event);
            }
        }
        found.sort_by_key(|event| (event.depth, event.position));
        self.serve(&db, &mut room, found).await
    }

    /// Those of the events that are held with their previous events.
    async fn in_graph(
        &self,
        db: &Snapshot,
        room: &ServedRoom,
        ids: &[OwnedEventId],
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let mut events = Vec::with_capacity(ids.len());
        for id in ids {
            let event = self.rooms().event_by_id(db, room.room, id).await?;
            events.extend(event.filter(|event| event.place != Place::Outlier));
        }
        Ok(events)
    }
}

fn previous(event: &Event) -> Result<Vec<OwnedEventId>, RoomError> {
    event
        .parts()
        .previous_events(event.json())
        .ok_or(RoomError::Damaged)
}
