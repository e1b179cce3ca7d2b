//! Receipts and read markers (client-server API, "Receipts", "Read and unread markers").
//!
//! The newest receipt of each (user, kind, thread) is a row; a log per room says in which order they came, without those
//! that were superseded. A receipt only moves forward. Every receipt tells its room, a private one too: who follows sends
//! it to nobody but its user.

use std::borrow::Cow;

use database::{
    Placed, Position, Read, RoomNumber, Snapshot, Stamp, StoreError, Txn, UserNumber,
    server_log::{self, Concern},
};
use protocol::scan;
use ruma::{EventId, OwnedEventId, RoomId};
use users::account_data;

use crate::handle::History;
use rooms_store::{
    RoomError,
    tables::{RECEIPT_LOG, RECEIPTS, Receipt, ReceiptKey},
};

pub const READ: &str = "m.read";
pub const READ_PRIVATE: &str = "m.read.private";
const FULLY_READ: &str = "m.fully_read";

/// Receipts of one answer: of a larger room, the newest.
const MOST: usize = 10_000;

/// How far a user has read; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Markers {
    pub fully_read: Option<OwnedEventId>,
    pub read: Option<OwnedEventId>,
    pub read_private: Option<OwnedEventId>,
    /// `main`, or the root's event id; `None` for a receipt of the whole room.
    pub thread: Option<String>,
}

/// A public receipt of a user of another server, who is joined to the room.
#[derive(Clone, Debug)]
pub struct RemoteReceipt {
    pub user: UserNumber,
    pub event_id: OwnedEventId,
    /// `main`, a root's event id, or empty.
    pub thread: String,
    /// Unix milliseconds.
    pub ts: u64,
}

impl History {
    /// Moves the markers, all in one commit. Who is not in the room has none.
    pub async fn mark_read(
        &self,
        room_id: &RoomId,
        user: UserNumber,
        markers: Markers,
    ) -> Result<(), RoomError> {
        let db = self.rooms.snapshot().await?;
        let room = self
            .rooms
            .number(&db, room_id)
            .await?
            .ok_or(RoomError::NotInRoom)?;
        if !self.rooms.is_joined(&db, room, user).await? {
            return Err(RoomError::NotInRoom);
        }
        let thread = markers.thread.as_deref().unwrap_or_default();
        let mut receipts = Vec::new();
        for (kind, event_id) in [(READ, &markers.read), (READ_PRIVATE, &markers.read_private)] {
            let Some(event_id) = event_id else { continue };
            if !thread.is_empty()
                && !self
                    .rooms
                    .belongs_to_thread(&db, room, event_id, thread)
                    .await?
            {
                return Err(RoomError::Invalid(
                    "the event does not belong to that thread".to_owned(),
                ));
            }
            let old = db.get(RECEIPTS.at((room, user, kind, thread))).await?;
            let old = old.map(|row| row.value.event_id);
            if self.is_forward(&db, room, old.as_deref(), event_id).await? {
                receipts.push((kind, event_id.as_str()));
            }
        }
        let fully_read = self
            .new_fully_read(&db, room, user, markers.fully_read.as_deref())
            .await?;
        drop(db);
        if receipts.is_empty() && fully_read.is_none() {
            return Ok(());
        }
        let ts = self.clock.now().0;
        let (receipts, fully_read) = (&receipts, fully_read.as_deref());
        self.rooms
            .store()
            .transact::<_, RoomError, _>(|txn| async move {
                for (kind, event_id) in receipts {
                    let receipt = Receipt {
                        event_id: (*event_id).to_owned(),
                        ts,
                    };
                    let key = ReceiptKey {
                        user,
                        kind: (*kind).to_owned(),
                        thread: thread.to_owned(),
                    };
                    write_receipt(&txn, room, &key, &receipt).await?;
                }
                if let Some(content) = fully_read {
                    account_data::put(&txn, user, Some(room), FULLY_READ, content).await?;
                }
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// Takes public receipts of users of other servers over, in one commit. One for an event that is not held yet counts by its
    /// time.
    pub async fn take_receipts(
        &self,
        room_id: &RoomId,
        receipts: Vec<RemoteReceipt>,
    ) -> Result<(), RoomError> {
        let db = self.rooms.snapshot().await?;
        let room = self.rooms.require(&db, room_id).await?;
        let mut newer = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            if self.is_news(&db, room, &receipt).await? {
                newer.push(receipt);
            }
        }
        drop(db);
        if newer.is_empty() {
            return Ok(());
        }
        let newer = &newer;
        let written = self.rooms.store().transact(|txn| async move {
            for taken in newer {
                let receipt = Receipt {
                    event_id: taken.event_id.to_string(),
                    ts: taken.ts,
                };
                let key = ReceiptKey {
                    user: taken.user,
                    kind: READ.to_owned(),
                    thread: taken.thread.clone(),
                };
                write_receipt(&txn, room, &key, &receipt).await?;
            }
            txn.may_wait();
            Ok::<_, RoomError>(())
        });
        written.await?;
        Ok(())
    }

    /// Whether a receipt of another server is newer than the held one, and its thread is one of the room.
    async fn is_news(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        receipt: &RemoteReceipt,
    ) -> Result<bool, RoomError> {
        let (thread, event_id) = (receipt.thread.as_str(), &receipt.event_id);
        if let Ok(root) = <&EventId>::try_from(thread) {
            if self.rooms.event_by_id(db, room, root).await?.is_none() {
                return Ok(false);
            }
        } else if !matches!(thread, "" | "main") {
            return Ok(false);
        }
        let old = db
            .get(RECEIPTS.at((room, receipt.user, READ, thread)))
            .await?;
        let old = old.map(|row| row.value);
        let held = self.rooms.event_by_id(db, room, event_id).await?;
        let is_shown = held.is_some_and(|held| held.is_shown());
        match old {
            None => Ok(true),
            Some(old) if old.event_id == event_id.as_str() => Ok(false),
            Some(old) if is_shown => {
                self.is_forward(db, room, Some(&old.event_id), event_id)
                    .await
            }
            Some(old) => Ok(receipt.ts > old.ts),
        }
    }

    /// The receipts of a room that came after this stamp and still count, oldest first; private ones are among them.
    pub async fn receipts_since(
        &self,
        db: &impl Read,
        room: RoomNumber,
        stamp: Stamp,
    ) -> Result<Vec<(Position, ReceiptKey, Receipt)>, StoreError> {
        let rows = RECEIPT_LOG
            .under(room)
            .after((room, Position::last_of(stamp)))
            .reversed();
        let mut log = db.page(rows, MOST).await?;
        if log.is_empty() {
            return Ok(Vec::new());
        }
        log.reverse();
        let rows = log
            .iter()
            .map(|(_, key)| RECEIPTS.at((room, key.user, key.kind.as_str(), key.thread.as_str())));
        let receipts = db.get_many(rows.collect()).await?;
        let told = log.into_iter().zip(receipts);
        Ok(told
            .filter_map(|(((_, at), key), row)| Some((at, key, row?.value)))
            .collect())
    }

    /// The content of the new `m.fully_read`, if it moves.
    async fn new_fully_read(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        user: UserNumber,
        event_id: Option<&EventId>,
    ) -> Result<Option<String>, RoomError> {
        let Some(event_id) = event_id else {
            return Ok(None);
        };
        let old = account_data::get(db, user, Some(room), FULLY_READ).await?;
        let old =
            old.and_then(|content| scan::string_member(&content, "event_id").map(Cow::into_owned));
        let is_forward = self.is_forward(db, room, old.as_deref(), event_id).await?;
        Ok(is_forward.then(|| serde_json::json!({ "event_id": event_id }).to_string()))
    }

    /// Whether `new` stands after `old` in the room.
    async fn is_forward(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        old: Option<&str>,
        new: &EventId,
    ) -> Result<bool, RoomError> {
        let new = self
            .rooms
            .event_by_id(db, room, new)
            .await?
            .filter(|event| event.is_shown())
            .ok_or(RoomError::UnknownEvent)?;
        let Some(old) = old.and_then(|id| <&EventId>::try_from(id).ok()) else {
            return Ok(true);
        };
        let old = self.rooms.event_by_id(db, room, old).await?;
        Ok(old.is_none_or(|old| new.position > old.position))
    }
}

async fn write_receipt(
    txn: &Txn,
    room: RoomNumber,
    key: &ReceiptKey,
    receipt: &Receipt,
) -> Result<(), StoreError> {
    let at = (room, key.user, key.kind.as_str(), key.thread.as_str());
    let old: Option<Placed<Receipt>> = txn.get(RECEIPTS.at(at)).await?;
    if let Some(old) = old {
        txn.delete(RECEIPT_LOG.at((room, old.position)));
    }
    let slot = txn.slot();
    txn.put_placed(RECEIPTS.at(at), receipt, slot);
    txn.append(RECEIPT_LOG.end(room), slot, key);
    server_log::tell(txn, slot, Concern::Room(room));
    Ok(())
}
