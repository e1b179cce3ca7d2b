//! How a reader stands to a room as a whole: inside, gone, or looking in from outside.

use database::{Position, Read, RoomNumber, Snapshot, UserNumber};
use ruma::RoomId;

use super::HistoryVisibility;
use crate::handle::History;
use rooms_store::{
    RoomError,
    state_map::StateRoot,
    tables::{MEMBER_HISTORY, Membership},
};

/// Why a reader may read a room.
#[derive(Clone, Debug)]
pub enum Standing {
    Joined,
    /// Was joined, and reads the room as it was at the end of that stay.
    Left(Departure),
    /// Never was, but the room is world readable.
    Outside,
}

/// The end of a user's last stay in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The log entry that ended it.
    pub position: Position,
    /// The room's state right after that entry.
    pub state: StateRoot,
}

/// Entries of a reader's history read at once; most readers have one or two.
const PAGE: usize = 16;

impl History {
    /// The number of a room and how the user stands to it. A room that is unknown, forgotten, or none of the user's
    /// business is `NotInRoom`, so that nobody learns which rooms exist.
    pub async fn require_standing(
        &self,
        db: &Snapshot,
        room_id: &RoomId,
        user: UserNumber,
    ) -> Result<(RoomNumber, Standing), RoomError> {
        let room = self
            .rooms
            .number(db, room_id)
            .await?
            .ok_or(RoomError::NotInRoom)?;
        let standing = self
            .standing(db, room, user)
            .await?
            .ok_or(RoomError::NotInRoom)?;
        Ok((room, standing))
    }

    /// How a user stands to a room; `None` if they may not read it.
    pub async fn standing(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        user: UserNumber,
    ) -> Result<Option<Standing>, RoomError> {
        let own = self.rooms.user_room(db, user, room).await?;
        if let Some(own) = own.filter(|own| !own.forgotten) {
            if own.membership == Membership::Join {
                return Ok(Some(Standing::Joined));
            }
            if let Some(end) = self.end_of_last_stay(db, room, user).await? {
                return Ok(Some(Standing::Left(end)));
            }
        }
        let root = self.rooms.head(db, room).await?.state;
        let visibility = self.history_visibility(db, room, root).await?;
        Ok((visibility == HistoryVisibility::WorldReadable).then_some(Standing::Outside))
    }

    /// The end of the last stay of a user who is not in the room now.
    async fn end_of_last_stay(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        user: UserNumber,
    ) -> Result<Option<Departure>, RoomError> {
        let mut end: Option<Position> = None;
        loop {
            let rows = MEMBER_HISTORY.under((room, user)).reversed();
            let rows = match end {
                Some(end) => rows.before((room, user, end)),
                None => rows,
            };
            let page = db.page(rows, PAGE).await?;
            if page.is_empty() {
                return Ok(None);
            }
            for ((_, _, at), change) in page {
                if change.membership == Membership::Join {
                    let Some(position) = end else {
                        return Ok(None);
                    };
                    let state = self.rooms.state_at(db, room, position).await?;
                    return Ok(Some(Departure { position, state }));
                }
                end = Some(at);
            }
        }
    }
}
