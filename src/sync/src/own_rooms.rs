//! The rooms of a user, as far as their membership says: read once, kept until something told the user.

use std::sync::Arc;

use database::{Placed, Read, RoomNumber, Snapshot, Stamp, UserNumber};
use quick_cache::{Weighter, sync::Cache};
use rooms_store::{
    RoomError, RoomStore,
    tables::{USER_ROOMS, UserRoom},
};
use ruma::OwnedRoomId;

use crate::notifier::{Changed, Notifier};

/// One room of a user. `row.event` may be older than the user's newest member event: a new display name tells nobody.
#[derive(Debug)]
pub(crate) struct OwnRoom {
    pub(crate) number: RoomNumber,
    pub(crate) id: OwnedRoomId,
    pub(crate) row: UserRoom,
    /// When the membership became what it is.
    pub(crate) since: database::Position,
}

/// All rooms of a user as of a stamp.
#[derive(Debug)]
pub(crate) struct OwnRooms {
    read_at: Stamp,
    pub(crate) rooms: Vec<OwnRoom>,
}

/// Owner: `Sync`. Bound: bytes, given at start. What is told to the user (`Concern::User`) makes it read again.
pub(crate) struct OwnRoomsCache(Cache<UserNumber, Arc<OwnRooms>, ByBytes>);

#[derive(Clone)]
struct ByBytes;

/// Bytes of a room in the list, about.
const ROOM: usize = size_of::<OwnRoom>() + 64;

impl Weighter<UserNumber, Arc<OwnRooms>> for ByBytes {
    fn weight(&self, _: &UserNumber, own: &Arc<OwnRooms>) -> u64 {
        (128 + own.rooms.len() * ROOM) as u64
    }
}

impl OwnRoomsCache {
    pub(crate) fn new(bytes: u64) -> Self {
        let users = usize::try_from(bytes / 2048).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(users.max(64), bytes, ByBytes))
    }

    /// The rooms of a user in this snapshot.
    pub(crate) async fn get(
        &self,
        rooms: &RoomStore,
        notifier: &Notifier,
        db: &Snapshot,
        user: UserNumber,
    ) -> Result<Arc<OwnRooms>, RoomError> {
        if let Some(own) = self.0.get(&user) {
            let both = own.read_at.min(db.stamp());
            if notifier.user_changed(user, both) == Changed::No {
                return Ok(own);
            }
        }
        let own = Arc::new(read(rooms, db, user).await?);
        let is_newer = self
            .0
            .peek(&user)
            .is_none_or(|kept| kept.read_at < own.read_at);
        if is_newer {
            self.0.insert(user, own.clone());
        }
        Ok(own)
    }
}

async fn read(rooms: &RoomStore, db: &Snapshot, user: UserNumber) -> Result<OwnRooms, RoomError> {
    let rows = db.page(USER_ROOMS.under(user), usize::MAX).await?;
    let mut own = Vec::with_capacity(rows.len());
    for (
        (_, number),
        Placed {
            value: row,
            position: since,
        },
    ) in rows
    {
        let id = rooms.room_id(db, number).await?;
        own.push(OwnRoom {
            number,
            id,
            row,
            since,
        });
    }
    Ok(OwnRooms {
        read_at: db.stamp(),
        rooms: own,
    })
}
