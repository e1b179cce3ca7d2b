//! Events whose verdict waited for another event: they are judged again when that one is decided.

use database::{Read, RoomNumber};
use rooms_store::{RoomError, Verdict, tables::AUTH_WAITERS};
use ruma::OwnedEventId;

use crate::{defects::Defect, handle::RoomWriter, received::ReceivedPdu, turn::Turn};

/// Dependents that one commit judges again.
const MOST: usize = 1_000;

impl Turn<'_> {
    /// The events of this turn that have a verdict, and that others may wait for.
    pub(crate) fn decided(&self) -> Vec<OwnedEventId> {
        if self.writer.has(Defect::DependentsLeft) {
            return Vec::new();
        }
        let decided = self
            .pending
            .iter()
            .filter(|event| event.verdict != Verdict::Unchecked);
        decided.map(|event| event.id.clone()).collect()
    }
}

/// Whether any event of the room waits for a verdict.
pub(crate) async fn has_waiters(writer: &RoomWriter, room: RoomNumber) -> Result<bool, RoomError> {
    let db = writer.rooms.snapshot().await?;
    Ok(db.first(AUTH_WAITERS.under(room)).await?.is_some())
}

/// The events that wait for one of these.
pub(crate) async fn waiters(
    writer: &RoomWriter,
    room: RoomNumber,
    decided: &[OwnedEventId],
) -> Result<Vec<ReceivedPdu>, RoomError> {
    let db = writer.rooms.snapshot().await?;
    let mut waiters = Vec::new();
    for id in decided {
        let rows = AUTH_WAITERS.under((room, id.as_str()));
        for ((_, _, number), ()) in db.page(rows, MOST).await? {
            let event = writer.rooms.named_event(&db, room, number).await?;
            if event.verdict != Verdict::Unchecked || waiters.len() == MOST {
                continue;
            }
            let json = event.json().to_owned();
            let pdu = ReceivedPdu::new(event.id.clone(), json).map_err(|_| RoomError::Damaged)?;
            waiters.push(pdu);
        }
    }
    Ok(waiters)
}
