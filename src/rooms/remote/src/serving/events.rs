//! Single events, by id alone.

use database::Read as _;
use rooms_store::{RoomError, tables::EVENT_NUMBERS};
use ruma::{EventId, ServerName};

use super::access::{Served, is_servable};
use crate::handle::RemoteRooms;

/// Rooms looked at in one step.
const STEP: usize = 512;
/// Rooms looked at.
const MOST_ROOMS: usize = 100_000;

impl RemoteRooms {
    /// An event of any room that a server is in. `UnknownEvent` for all others.
    pub async fn event_for(
        &self,
        server: &ServerName,
        event_id: &EventId,
    ) -> Result<Served, RoomError> {
        let db = self.rooms().snapshot().await?;
        let mut after = None;
        for _ in 0..MOST_ROOMS / STEP {
            let rooms = self.rooms().rooms_of_server(&db, server, after, STEP);
            let rooms = rooms.await?;
            let keys = rooms
                .iter()
                .map(|room| EVENT_NUMBERS.at((*room, event_id.as_str())));
            let numbers = db.get_many(keys.collect()).await?;
            for (room, number) in rooms.iter().zip(numbers) {
                let Some(number) = number else { continue };
                let mut served = self.served(&db, *room, server).await?;
                let event = self.rooms().event(&db, *room, number).await?;
                if let Some(event) = event.filter(|event| is_servable(event)) {
                    let mut form = self.serve(&db, &mut served, vec![event]).await?;
                    return form.pop().ok_or(RoomError::UnknownEvent);
                }
            }
            match rooms.last() {
                Some(last) if rooms.len() == STEP => after = Some(*last),
                _ => break,
            }
        }
        Err(RoomError::UnknownEvent)
    }
}
