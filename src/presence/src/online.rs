//! How many are online: in a room, and on the whole server. Exact, and read from memory.

use database::{Read, RoomNumber, Snapshot, StoreError, UserNumber};

use crate::presence::Presence;

/// Who is online, on the whole server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerOnline {
    /// Users who are online, each once.
    pub users: usize,
    /// Devices with at least one connection.
    pub devices: usize,
    /// Syncs that run or wait.
    pub connections: usize,
    /// Rooms in which somebody is online, in no order.
    pub rooms: Vec<(RoomNumber, u32)>,
}

impl Presence {
    /// How many members of a room are online, at this snapshot or later.
    pub async fn online(&self, db: &Snapshot, room: RoomNumber) -> Result<u32, StoreError> {
        self.followed(db.stamp()).await?;
        Ok(self.read(|board, _| board.online(room)).unwrap_or_default())
    }

    /// The members of a room who are online, at this snapshot or later.
    pub async fn online_users(
        &self,
        db: &Snapshot,
        room: RoomNumber,
    ) -> Result<Vec<UserNumber>, StoreError> {
        self.followed(db.stamp()).await?;
        let users = self.read(|board, _| board.online_in(room).collect());
        Ok(users.unwrap_or_default())
    }

    pub async fn server_online(&self, db: &Snapshot) -> Result<ServerOnline, StoreError> {
        self.followed(db.stamp()).await?;
        Ok(self.read(|board, _| board.server()).unwrap_or_default())
    }

    /// How many members of a room are online, if that or the number of members changed after a
    /// change that `/sync` was given. `None` if not.
    pub fn online_since(&self, room: RoomNumber, since: Option<u64>) -> Option<u32> {
        self.read(|board, _| {
            let changed_at = board.online_changed_at(room);
            let is_new = match (since, changed_at) {
                (Some(since), Some(changed_at)) => changed_at > since,
                (Some(_), None) => false,
                (None, _) => true,
            };
            is_new.then(|| board.online(room))
        })?
    }
}
