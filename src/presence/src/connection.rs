//! Connections: the syncs of devices, which make their users online.

use database::{StoreError, UserNumber};

use crate::{
    board::Board,
    presence::{Presence, Shared},
    state::SetPresence,
};

/// A sync that runs or waits; dropping it ends it.
#[must_use]
pub struct Connection<'a> {
    parts: Option<&'a Shared>,
    user: UserNumber,
    device: &'a str,
    generation: u32,
}

impl Presence {
    /// A sync of a device begins: it makes the user online, as far as `set` says so.
    pub async fn connect<'a>(
        &'a self,
        user: UserNumber,
        device: &'a str,
        set: SetPresence,
    ) -> Result<Connection<'a>, StoreError> {
        let none = Connection {
            parts: None,
            user,
            device,
            generation: 0,
        };
        let Some(parts) = self.0.as_deref() else {
            return Ok(none);
        };
        let connect = |board: &mut Board, now| board.connect(user, device, set, now);
        let (generation, is_new) = parts.with_user(user, connect).await?;
        let connection = Connection {
            parts: Some(parts),
            generation,
            ..none
        };
        if is_new {
            parts.check_device(user, device).await?;
        }
        Ok(connection)
    }
}

impl Shared {
    /// A device that was not known may have been deleted while its request was on its way.
    pub(crate) async fn check_device(
        &self,
        user: UserNumber,
        device: &str,
    ) -> Result<(), StoreError> {
        let db = self.rooms.snapshot().await?;
        if !self.rooms.users().has_device(&db, user, device).await? {
            self.if_held(|board, now| board.end_devices(user, |id| id == device, now));
        }
        Ok(())
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        if let Some(parts) = self.parts {
            parts.if_held(|board, now| {
                board.disconnect(self.user, self.device, self.generation, now);
            });
        }
    }
}
