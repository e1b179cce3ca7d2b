//! Forgetting a room (client-server API, "Leaving rooms"): it is no longer served to the user, until they are in it again.

use database::{
    Read, UserNumber,
    server_log::{self, Concern},
};
use ruma::RoomId;

use crate::handle::RoomWriter;
use rooms_store::{
    RoomError,
    tables::{Membership, USER_ROOMS},
};

impl RoomWriter {
    /// Who has not left first is refused. The row keeps its place: a sync from before the leave still tells the leave.
    pub async fn forget(&self, room_id: &RoomId, user: UserNumber) -> Result<(), RoomError> {
        self.rooms
            .store()
            .transact::<_, RoomError, _>(|txn| async move {
                let room = self
                    .rooms
                    .number(&txn, room_id)
                    .await?
                    .ok_or(RoomError::UnknownRoom)?;
                let row = txn.get(USER_ROOMS.at((user, room))).await?;
                let mut row = row.ok_or(RoomError::UnknownRoom)?;
                match row.value.membership {
                    Membership::Leave | Membership::Ban => {}
                    Membership::Join | Membership::Invite | Membership::Knock => {
                        return Err(RoomError::StillInRoom);
                    }
                }
                if row.value.forgotten {
                    return Ok(());
                }
                row.value.forgotten = true;
                txn.put(USER_ROOMS.at((user, room)), &row);
                server_log::tell(&txn, txn.slot(), Concern::User(user));
                Ok(())
            })
            .await?;
        Ok(())
    }
}
