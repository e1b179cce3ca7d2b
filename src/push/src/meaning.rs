//! What an event means to those who read it, as far as it is the same for all of them.

use database::Snapshot;
use protocol::{
    power_levels::PowerLevels,
    push::{Marks, PushEvent, RoomContext},
};
use rooms_store::{Event, RoomError, RoomStore};
use tokio::sync::OnceCell;

use crate::counts::MAIN;

/// One event, looked at once for all members of its room.
#[derive(Debug)]
pub(crate) struct Meaning {
    pub(crate) thread: Box<str>,
    pub(crate) marks: Marks,
    /// Those at the event, once somebody asked; `None` inside where the room's are not readable.
    power_levels: OnceCell<Option<PowerLevels>>,
}

impl Meaning {
    pub(crate) async fn of(
        rooms: &RoomStore,
        db: &Snapshot,
        event: &Event,
        parsed: &PushEvent,
    ) -> Result<Self, RoomError> {
        let power_levels = OnceCell::new();
        let levels = if parsed.wants_the_room() {
            asked(&power_levels, rooms, db, event).await?
        } else {
            None
        };
        let room = RoomContext {
            member_count: event.joined_before(),
            power_levels: levels,
        };
        let marks = Marks::of(parsed, &room);
        let thread = event.thread.as_ref().map_or(MAIN, |thread| &thread.root);
        Ok(Self {
            thread: thread.into(),
            marks,
            power_levels,
        })
    }

    /// Who may do what at the event.
    pub(crate) async fn power_levels(
        &self,
        rooms: &RoomStore,
        db: &Snapshot,
        event: &Event,
    ) -> Result<Option<&PowerLevels>, RoomError> {
        asked(&self.power_levels, rooms, db, event).await
    }

    /// Bytes in memory, about: few events are asked for power levels.
    pub(crate) fn weight(&self) -> u64 {
        (size_of::<Self>() + self.marks.weight() + self.thread.len() + 64) as u64
    }
}

async fn asked<'a>(
    cell: &'a OnceCell<Option<PowerLevels>>,
    rooms: &RoomStore,
    db: &Snapshot,
    event: &Event,
) -> Result<Option<&'a PowerLevels>, RoomError> {
    let Some(state) = event.state_before() else {
        return Ok(None);
    };
    let read = async || match rooms.power_levels_in(db, event.room, state).await {
        Ok(levels) => Ok(Some(levels)),
        Err(RoomError::Store(error)) => Err(RoomError::Store(error)),
        Err(_) => Ok(None),
    };
    Ok(cell.get_or_try_init(read).await?.as_ref())
}
