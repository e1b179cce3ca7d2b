//! Auth chains: the auth events of events, theirs, and so on.

use std::{collections::HashSet, sync::Arc};

use database::{Read as _, RoomNumber, Snapshot};
use rooms_store::{
    Event, RoomError,
    state_map::EventNumber,
    tables::{AUTH_EDGES, EVENT_NUMBERS},
};

use crate::handle::RemoteRooms;

/// Events of one chain.
const MOST_EVENTS: usize = 100_000;
/// Rows read at once.
const STEP: usize = 512;

impl RemoteRooms {
    /// The auth chains of events, without the events themselves unless another's chain has them.
    pub(super) async fn auth_chain(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        of: &[Arc<Event>],
    ) -> Result<Vec<EventNumber>, RoomError> {
        let mut seen = HashSet::new();
        let mut chain = Vec::new();
        let mut ahead = self.first_edges(db, room, of).await?;
        while !ahead.is_empty() {
            ahead.retain(|number| seen.insert(*number));
            chain.extend_from_slice(&ahead);
            if chain.len() > MOST_EVENTS {
                return Err(RoomError::TooLarge);
            }
            let mut next = Vec::new();
            for step in ahead.chunks(STEP) {
                let keys = step.iter().map(|number| AUTH_EDGES.at((room, *number)));
                let edges = db.get_many(keys.collect()).await?;
                next.extend(edges.into_iter().flatten().flat_map(|edges| edges.0));
            }
            ahead = next;
        }
        Ok(chain)
    }

    /// The auth events of the events. Those of messages are only in their text.
    async fn first_edges(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        of: &[Arc<Event>],
    ) -> Result<Vec<EventNumber>, RoomError> {
        let mut first = Vec::new();
        for step in of.chunks(STEP) {
            let keys = step.iter().map(|event| AUTH_EDGES.at((room, event.number)));
            let edges = db.get_many(keys.collect()).await?;
            for (event, edges) in step.iter().zip(edges) {
                if let Some(edges) = edges {
                    first.extend(edges.0);
                    continue;
                }
                let ids = event.parts().auth_events(event.json());
                let ids = ids.ok_or(RoomError::Damaged)?;
                let keys = ids.iter().map(|id| EVENT_NUMBERS.at((room, id.as_str())));
                let numbers = db.get_many(keys.collect()).await?;
                first.extend(numbers.into_iter().flatten());
            }
        }
        Ok(first)
    }
}
