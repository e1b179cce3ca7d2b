//! The worker of one room: delivers what its inbox holds, the servers that sent it in turn, without the network.

use std::time::Duration;

use database::{Position, Read as _, RoomNumber, StoreError};
use protocol::receive::Pdu;
use rooms_store::{Residency, RoomError};
use ruma::OwnedServerName;

use super::accept::MOST_EVENTS;
use crate::{
    delivery::{Delivery, is_settled},
    handle::RemoteRooms,
    tables::{INBOX, INBOX_EVENTS, INBOX_ORIGINS, InboxPdu, WAITING_PDUS, WaitingPdu},
};

/// Events of one server that are delivered before the next one has its turn.
const BATCH: usize = 50;
/// The pause after an error of the database.
const PAUSE: Duration = Duration::from_secs(5);

/// Events of one server from the inbox of one room.
struct Batch {
    origin: String,
    rows: Vec<(Position, InboxPdu)>,
}

/// Runs until the room's inbox is empty.
pub(super) async fn run(remote: RemoteRooms, room: RoomNumber) {
    let stop = remote.0.needs.stop.clone();
    let mut last = String::new();
    loop {
        let turn = async {
            let _permit = remote.0.inbox.delivering.acquire().await;
            deliver_next(&remote, room, &mut last).await
        };
        let Some(delivered) = stop.run_until_cancelled(turn).await else {
            return;
        };
        match delivered {
            Ok(false) if remote.0.inbox.workers.end(&room) => return,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "could not deliver events of other servers to a room");
                let pause = tokio::time::sleep(PAUSE);
                if stop.run_until_cancelled(pause).await.is_none() {
                    return;
                }
            }
        }
    }
}

/// Delivers a batch of the server that comes after `last`. Whether there was one.
async fn deliver_next(
    remote: &RemoteRooms,
    room: RoomNumber,
    last: &mut String,
) -> Result<bool, RoomError> {
    let db = remote.rooms().snapshot().await?;
    let head = remote.rooms().head(&db, room).await?;
    if head.residency == Residency::Joining {
        return Ok(false);
    }
    let rows = INBOX.under(room);
    let later = rows.clone().after((room, last.as_str(), Position::MAX));
    let next = match db.first(later).await? {
        Some(next) => Some(next),
        None => db.first(rows).await?,
    };
    let Some(((_, origin, _), _)) = next else {
        return Ok(false);
    };
    let page = db.page(INBOX.under((room, origin.as_str())), BATCH).await?;
    drop(db);
    last.clone_from(&origin);
    let rows = page
        .into_iter()
        .map(|((_, _, position), pdu)| (position, pdu))
        .collect();
    let batch = Batch { origin, rows };
    let is_wanted = head.residency == Residency::Resident;
    let stuck = match is_wanted {
        true => deliver(remote, room, &batch).await?,
        // The last local user has left.
        false => vec![false; batch.rows.len()],
    };
    finish(remote, room, &batch, &stuck).await?;
    Ok(true)
}

/// Delivers a batch. Which of its events are stuck: they miss something that only the network has.
async fn deliver(
    remote: &RemoteRooms,
    room: RoomNumber,
    batch: &Batch,
) -> Result<Vec<bool>, RoomError> {
    let delivery = Delivery::new(remote, room, &batch.origin).await?;
    let Some(mut delivery) = delivery else {
        return Ok(vec![false; batch.rows.len()]);
    };
    let texts = batch.rows.iter().map(|(_, row)| row.json.clone());
    let read = remote.read(delivery.rules(), texts).await;
    let mut stuck = Vec::with_capacity(read.len());
    let mut pdus: Vec<Pdu> = Vec::new();
    for ((_, row), read) in batch.rows.iter().zip(read) {
        match read {
            Ok(pdu) if row.is_verified => {
                stuck.push(None);
                pdus.push(pdu);
            }
            Ok(_) => stuck.push(Some(true)),
            Err(error) => {
                tracing::warn!(event.id = row.event_id, %error, "an event in the inbox is not readable");
                stuck.push(Some(false));
            }
        }
    }
    let mut outcomes = delivery.receive_live(&pdus).await?.into_iter();
    let decided = stuck.into_iter().map(|stuck| {
        stuck.unwrap_or_else(|| {
            let outcome = outcomes.next().expect("one for each that was delivered");
            !is_settled(&outcome)
        })
    });
    Ok(decided.collect())
}

/// Deletes the batch, and lets what is stuck wait for its turn to fetch.
async fn finish(
    remote: &RemoteRooms,
    room: RoomNumber,
    batch: &Batch,
    stuck: &[bool],
) -> Result<(), StoreError> {
    let (now, origin) = (remote.now(), batch.origin.as_str());
    let finished = remote.rooms().store().transact(|txn| async move {
        let mut share = txn
            .get(INBOX_ORIGINS.at((room, origin)))
            .await?
            .unwrap_or_default();
        for ((position, row), is_stuck) in batch.rows.iter().zip(stuck) {
            txn.delete(INBOX.at((room, origin, *position)));
            share.events = share.events.saturating_sub(1);
            share.bytes = share.bytes.saturating_sub(row.json.len() as u64);
            let id = row.event_id.as_str();
            if !is_stuck {
                txn.delete(INBOX_EVENTS.at((room, id)));
            } else if share.waiting >= MOST_EVENTS {
                txn.delete(INBOX_EVENTS.at((room, id)));
                share.behind = Some(id.to_owned());
            } else {
                share.waiting += 1;
                let due = now.max(share.fetch_after);
                let waiting = WaitingPdu {
                    json: row.json.clone(),
                    is_verified: row.is_verified,
                    attempts: 0,
                };
                txn.put(WAITING_PDUS.at((room, origin, due, id)), &waiting);
            }
        }
        let needs_fetch = share.waiting > 0 || (share.events == 0 && share.behind.is_some());
        match share.events == 0 && share.waiting == 0 && share.behind.is_none() {
            true => txn.delete(INBOX_ORIGINS.at((room, origin))),
            false => txn.put(INBOX_ORIGINS.at((room, origin)), &share),
        }
        // Delivered again after a crash, they are known.
        if !needs_fetch {
            txn.may_wait();
        }
        Ok::<_, StoreError>(needs_fetch)
    });
    let (needs_fetch, _) = finished.await?;
    if needs_fetch && let Ok(origin) = OwnedServerName::try_from(origin) {
        remote.wake_fetcher(room, &origin);
    }
    Ok(())
}
