//! Who may do what in a room, for decisions that the authorization rules do not make: aliases, the directory.

use database::{RoomNumber, Snapshot};
use protocol::{authorize::AuthEvent, power_levels::PowerLevels, room_version};
use ruma::RoomVersionId;

use crate::{error::RoomError, event::Event, handle::RoomStore, state_map::StateRoot};

impl RoomStore {
    /// The power levels of a room as it is now.
    pub async fn power_levels(
        &self,
        db: &Snapshot,
        room: RoomNumber,
    ) -> Result<PowerLevels, RoomError> {
        let root = self.head(db, room).await?.state;
        self.power_levels_in(db, room, root).await
    }

    /// The power levels in one state of a room.
    pub async fn power_levels_in(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        root: StateRoot,
    ) -> Result<PowerLevels, RoomError> {
        let head = self.head(db, room).await?;
        let version =
            RoomVersionId::try_from(head.version.as_str()).map_err(|_| RoomError::Damaged)?;
        let rules = room_version::rules(&version).ok_or(RoomError::Damaged)?;
        let create = self
            .state_event(db, room, root, "m.room.create", "")
            .await?;
        let create = parse(&*create.ok_or(RoomError::Damaged)?)?;
        let levels = self
            .state_event(db, room, root, "m.room.power_levels", "")
            .await?;
        let levels = levels.map(|event| parse(&event)).transpose()?;
        Ok(PowerLevels::new(rules, &create, levels.as_ref())?)
    }
}

fn parse(event: &Event) -> Result<AuthEvent, RoomError> {
    AuthEvent::parse(event.id.clone(), event.json()).map_err(|_| RoomError::Damaged)
}
