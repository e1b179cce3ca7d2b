//! How far a user has read a room, by thread.

use database::Position;
use database::{Read, RoomNumber, Snapshot, UserNumber};
use rooms_store::{
    RoomError,
    tables::{RECEIPTS, Receipt, ReceiptKey},
};
use ruma::EventId;

use crate::push::Parts;

/// A receipt: its thread, empty for the whole room, and how far it reads.
pub(crate) type ReadTo = (String, Position);

/// Receipts of one user in one room that are read at most: one for each thread and kind.
const MOST: usize = 10_000;

impl Parts {
    /// All receipts of a user in a room.
    pub(crate) async fn receipts_on_disk(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        user: UserNumber,
    ) -> Result<Vec<ReadTo>, RoomError> {
        let mut receipts = Vec::new();
        for ((_, user, kind, thread), row) in db.page(RECEIPTS.under((room, user)), MOST).await? {
            let key = ReceiptKey { user, kind, thread };
            receipts.extend(self.read_position(db, room, &key, &row.value).await?);
        }
        Ok(receipts)
    }

    /// `None` where the event is not known.
    pub(crate) async fn read_position(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        key: &ReceiptKey,
        receipt: &Receipt,
    ) -> Result<Option<ReadTo>, RoomError> {
        let Ok(event_id) = <&EventId>::try_from(receipt.event_id.as_str()) else {
            return Ok(None);
        };
        let event = self.rooms.event_by_id(db, room, event_id).await?;
        Ok(event.map(|event| (key.thread.clone(), event.position)))
    }
}
