//! Destinations that do not answer for long: marks instead of a queue, and the latest events of
//! the marked rooms once they do. The destination fetches what lies before them, as after any
//! gap.

use std::sync::Arc;

use database::{Read as _, RoomNumber, Snapshot, StoreError, Txn};
use rooms_store::{Event, RoomError, state_map::EventNumber};
use ruma::{EventId, ServerName};

use crate::{
    deliver::MOST_PDUS,
    handle::Sender,
    tables::{CATCH_UP, EDU_QUEUE, QUEUE},
};

/// Rows of a queue that one commit turns into marks.
const AT_ONCE: usize = 1_000;
/// Extremities of one room that are sent.
const MOST_EXTREMITIES: usize = 10;

/// Turns the queue of a destination into marks.
pub(crate) async fn mark(sender: &Sender, server: &ServerName) -> Result<(), StoreError> {
    // First, so that the follower writes marks from now on.
    sender.0.schedule.set_catching_up(server, true);
    let name = server.as_str();
    loop {
        let marked = sender.rooms().store().transact(|txn: Txn| async move {
            let rows = txn.page(QUEUE.under(name), AT_ONCE).await?;
            for ((_, position), queued) in &rows {
                let row = CATCH_UP.at((name, queued.room));
                let held = txn.get(row.clone()).await?;
                if held.is_none_or(|held| held.0 < queued.event.0) {
                    txn.put(row, &queued.event);
                }
                txn.delete(QUEUE.at((name, *position)));
            }
            txn.may_wait();
            Ok::<_, StoreError>(rows.len())
        });
        if marked.await?.0 < AT_ONCE {
            return Ok(());
        }
    }
}

/// Forgets all that waits for a destination with which this server does not federate any more.
pub(crate) async fn give_up(sender: &Sender, server: &ServerName) -> Result<(), StoreError> {
    let cleared = sender.rooms().store().transact(|txn: Txn| async move {
        txn.clear(QUEUE.under(server.as_str()));
        txn.clear(CATCH_UP.under(server.as_str()));
        txn.clear(EDU_QUEUE.under(server.as_str()));
        txn.may_wait();
        Ok::<_, StoreError>(())
    });
    cleared.await.map(|_| ())
}

pub(crate) async fn drop_edus(sender: &Sender, server: &ServerName) -> Result<(), StoreError> {
    let dropped = sender.rooms().store().transact(|txn: Txn| async move {
        if txn.first(EDU_QUEUE.under(server.as_str())).await?.is_some() {
            txn.clear(EDU_QUEUE.under(server.as_str()));
            txn.may_wait();
        }
        Ok::<_, StoreError>(())
    });
    dropped.await.map(|_| ())
}

/// What brings a destination up to date in the marked rooms, and the marks that are settled by it.
pub(crate) async fn latest(
    sender: &Sender,
    db: &Snapshot,
    server: &ServerName,
    marks: Vec<((String, RoomNumber), EventNumber)>,
) -> Result<(Vec<Arc<Event>>, Vec<(RoomNumber, EventNumber)>), RoomError> {
    let rooms = sender.rooms();
    let (mut pdus, mut settled) = (Vec::new(), Vec::new());
    for ((_, room), number) in marks {
        let marked = rooms.event(db, room, number).await?;
        let is_in = rooms.is_server_joined(db, room, server).await?;
        let head = rooms.head(db, room).await?;
        let is_end = marked.as_ref().is_some_and(|marked| {
            let mut ends = head.extremities.iter();
            ends.any(|end| end.event_id == marked.id.as_str())
        });
        let mut events = Vec::new();
        if is_end || !is_in {
            // A server outside the room learns of its own removal alone.
            events.extend(marked);
        } else {
            for end in head.extremities.iter().take(MOST_EXTREMITIES) {
                if let Ok(id) = EventId::parse(&end.event_id) {
                    events.extend(rooms.event_by_id(db, room, &id).await?);
                }
            }
        }
        if pdus.len() + events.len() > MOST_PDUS {
            break;
        }
        pdus.extend(events);
        settled.push((room, number));
    }
    Ok((pdus, settled))
}
