//! Events that miss something: other events, or keys. One task per room and server that sent them fetches it, in
//! the room's turn, and tries again ever more rarely what could not be had.

use std::time::Duration;

use database::{Millis, Read as _, RoomNumber, StoreError};
use protocol::receive::Pdu;
use rooms_store::{Residency, RoomError};
use ruma::{EventId, OwnedServerName};
use tokio::time::timeout;

use crate::{
    check::{Checked, KeySource},
    delivery::Delivery,
    handle::RemoteRooms,
    tables::{INBOX_EVENTS, INBOX_ORIGINS, WAITING_PDUS, WaitingPdu},
};

/// Events of one turn.
const BATCH: usize = 50;
/// The delays after failed attempts. After the last one, the event is dropped: what follows it
/// brings the room on, and leaves a gap.
const DELAYS: [Duration; 8] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(20),
    Duration::from_hours(1),
    Duration::from_hours(4),
    Duration::from_hours(12),
    Duration::from_hours(24),
    Duration::from_hours(48),
];
/// How long one turn may fetch; longer with each attempt, because the state of a large room takes
/// its time.
const TURN: Duration = Duration::from_mins(1);
const LONGEST_TURN: Duration = Duration::from_mins(10);
const PAUSE: Duration = Duration::from_secs(5);

/// A row of `waiting_pdus`.
struct Waiting {
    due: Millis,
    event_id: String,
    row: WaitingPdu,
}

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Later,
}

/// Runs until nothing of this server waits in the room.
pub(super) async fn run(remote: RemoteRooms, room: RoomNumber, origin: OwnedServerName) {
    let stop = remote.0.needs.stop.clone();
    let key = (room, origin.clone());
    loop {
        let turn = next_turn(&remote, room, &origin);
        let Some(next) = stop.run_until_cancelled(turn).await else {
            return;
        };
        let pause = match next {
            Ok(None) if remote.0.inbox.fetchers.end(&key) => return,
            Ok(None) => continue,
            Ok(Some(wait)) => wait,
            Err(error) => {
                tracing::warn!(server.name = %origin, %error, "could not retry waiting events");
                PAUSE
            }
        };
        // New rows, which may be due earlier, are seen with the next turn.
        let pause = tokio::time::sleep(pause.min(PAUSE));
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
    }
}

/// Tries what is due. Returns how long to wait; `None` where nothing waits.
async fn next_turn(
    remote: &RemoteRooms,
    room: RoomNumber,
    origin: &OwnedServerName,
) -> Result<Option<Duration>, RoomError> {
    let db = remote.rooms().snapshot().await?;
    let now = remote.now();
    let share = db.get(INBOX_ORIGINS.at((room, origin.as_str()))).await?;
    let Some(share) = share else {
        return Ok(None);
    };
    let rows = WAITING_PDUS.under((room, origin.as_str()));
    let page = db.page(rows, BATCH).await?;
    let first_due = page.first().map(|((_, _, due, _), _)| *due);
    let is_resident = remote.rooms().head(&db, room).await?.residency == Residency::Resident;
    drop(db);
    let is_behind = share.events == 0 && share.behind.is_some();
    let due = match (first_due, is_behind) {
        (Some(due), false) => due,
        (Some(due), true) => due.min(share.fetch_after),
        (None, true) => share.fetch_after,
        (None, false) => return Ok(None),
    };
    if due > now {
        return Ok(Some(due.since(now)));
    }
    let mut batch = Vec::new();
    for ((_, _, due, event_id), row) in page {
        if due <= now {
            batch.push(Waiting { due, event_id, row });
        }
    }
    let behind = share
        .behind
        .filter(|_| is_behind && share.fetch_after <= now);
    let ends = match is_resident {
        true => attempt(remote, room, origin, &batch, behind.as_deref()).await?,
        false => (vec![End::Done; batch.len()], true),
    };
    finish(remote, room, origin, &batch, behind.as_deref(), ends).await?;
    Ok(Some(Duration::ZERO))
}

/// What became of the events of a batch, and whether what the server is ahead of us was fetched.
async fn attempt(
    remote: &RemoteRooms,
    room: RoomNumber,
    origin: &OwnedServerName,
    batch: &[Waiting],
    behind: Option<&str>,
) -> Result<(Vec<End>, bool), RoomError> {
    let nothing = (vec![End::Later; batch.len()], false);
    let inbox = &remote.0.inbox;
    let Ok(_permit) = inbox.fetching.acquire().await else {
        return Ok(nothing);
    };
    let Some(_turn) = inbox.room_fetches.enter(room, usize::MAX).await else {
        return Ok(nothing);
    };
    let attempts = batch.iter().map(|waiting| waiting.row.attempts).max();
    let longest = (TURN * (attempts.unwrap_or(0) + 1)).min(LONGEST_TURN);
    let work = async {
        let Some(mut delivery) = Delivery::new(remote, room, origin.as_str()).await? else {
            return Ok((vec![End::Done; batch.len()], true));
        };
        let ends = deliver(remote, &mut delivery, batch).await?;
        let caught_up = match behind.and_then(|id| EventId::parse(id).ok()) {
            Some(id) => delivery.catch_up(&id).await?,
            None => true,
        };
        Ok((ends, caught_up))
    };
    timeout(longest, work).await.unwrap_or(Ok(nothing))
}

async fn deliver(
    remote: &RemoteRooms,
    delivery: &mut Delivery<'_>,
    batch: &[Waiting],
) -> Result<Vec<End>, RoomError> {
    let texts = batch.iter().map(|waiting| waiting.row.json.clone());
    let read = remote.read(delivery.rules(), texts).await;
    let mut ends = vec![End::Done; batch.len()];
    let (mut verified, mut unverified) = (Vec::<(usize, Pdu)>::new(), Vec::new());
    for (at, read) in read.into_iter().enumerate() {
        match read {
            Ok(pdu) if batch[at].row.is_verified => verified.push((at, pdu)),
            Ok(pdu) => unverified.push((at, pdu)),
            Err(_) => {}
        }
    }
    let (places, pdus): (Vec<usize>, Vec<Pdu>) = unverified.into_iter().unzip();
    let checked = remote.verify(pdus, KeySource::Fetched).await?;
    for (at, checked) in places.into_iter().zip(checked) {
        match checked {
            Checked::Valid(pdu) => verified.push((at, pdu)),
            Checked::KeysMissing(..) => ends[at] = End::Later,
            Checked::Bad(bad) => {
                tracing::debug!(reason = bad.reason, "dropped an event of another server");
            }
        }
    }
    verified.sort_by_key(|(at, pdu)| (pdu.depth(), *at));
    for (at, pdu) in verified {
        if !delivery.complete(&pdu).await? {
            ends[at] = End::Later;
        }
    }
    Ok(ends)
}

async fn finish(
    remote: &RemoteRooms,
    room: RoomNumber,
    origin: &OwnedServerName,
    batch: &[Waiting],
    behind: Option<&str>,
    (ends, caught_up): (Vec<End>, bool),
) -> Result<(), StoreError> {
    let (now, origin, ends) = (remote.now(), origin.as_str(), &ends);
    let finished = remote.rooms().store().transact(|txn| async move {
        let row = INBOX_ORIGINS.at((room, origin));
        let mut share = txn.get(row.clone()).await?.unwrap_or_default();
        let mut has_failed = false;
        for (waiting, end) in batch.iter().zip(ends) {
            let id = waiting.event_id.as_str();
            txn.delete(WAITING_PDUS.at((room, origin, waiting.due, id)));
            let tries = usize::try_from(waiting.row.attempts).unwrap_or(usize::MAX);
            if *end == End::Later
                && let Some(delay) = DELAYS.get(tries)
            {
                has_failed = true;
                let next = WaitingPdu {
                    attempts: waiting.row.attempts + 1,
                    ..waiting.row.clone()
                };
                txn.put(WAITING_PDUS.at((room, origin, now.plus(*delay), id)), &next);
            } else {
                share.waiting = share.waiting.saturating_sub(1);
                txn.delete(INBOX_EVENTS.at((room, id)));
            }
        }
        if caught_up && behind.is_some() && share.behind.as_deref() == behind {
            share.behind = None;
        }
        share.fetch_after = match has_failed || !caught_up {
            true => now.plus(DELAYS[0]),
            false => Millis(0),
        };
        match share.events == 0 && share.waiting == 0 && share.behind.is_none() {
            true => txn.delete(row),
            false => txn.put(row, &share),
        }
        Ok::<_, StoreError>(())
    });
    finished.await.map(|_| ())
}
