//! The tasks: one restores who was online before a restart, one follows the server's log and the
//! time.

use std::{sync::Arc, time::Duration};

use database::{
    Position, Read, RoomNumber, Snapshot, Stamp, Store, StoreError, UserNumber,
    follow::CURSORS,
    server_log::{Concern, SERVER_LOG},
};
use rooms_store::{Membership, tables::MEMBERS};
use tokio_util::sync::CancellationToken;

use crate::{
    board::Publication,
    load::load,
    presence::{CURSOR, Shared},
    tables::{PRESENCE, PRESENT_USERS, PresenceRow},
};

/// Entries of the log read at once.
const PAGE: usize = 512;
/// Entries after which the cursor is written, so that the log behind it can be trimmed.
const KEEP_EVERY: usize = 4096;
/// How long to wait before a failed read is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// Users restored at once.
const RESTORED: usize = 256;
/// Users whose state is written in one commit.
const WRITTEN: usize = 1000;

/// Whether a commit waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durable {
    Now,
    Soon,
}

/// Where following begins; from here on the log is kept.
pub(crate) async fn begin(store: &Store) -> Result<Stamp, StoreError> {
    let begin = store.transact(|txn| async move {
        let start = txn.stamp();
        txn.put(CURSORS.at(CURSOR), &Position::last_of(start));
        Ok::<_, StoreError>(start)
    });
    Ok(begin.await?.0)
}

/// Takes in the users who were not offline before the restart: they are offline soon, unless they
/// come back.
pub(crate) async fn restore(parts: Arc<Shared>, stop: CancellationToken) {
    let mut last = None;
    while !stop.is_cancelled() {
        match restore_some(&parts, last).await {
            Ok(None) => return,
            Ok(more) => last = more,
            Err(error) => {
                tracing::warn!(%error, "could not read who was online before the restart; will retry");
                wait(RETRY, &stop).await;
            }
        }
        parts.changed.notify_one();
    }
}

async fn restore_some(
    parts: &Shared,
    after: Option<UserNumber>,
) -> Result<Option<UserNumber>, StoreError> {
    let _gate = parts.gate.read().await;
    let db = parts.rooms.snapshot().await?;
    let rows = match after {
        Some(after) => PRESENT_USERS.all().after(after),
        None => PRESENT_USERS.all(),
    };
    let page = db.page(rows, RESTORED).await?;
    let users = parts.rooms.users();
    for (user, ()) in &page {
        let loaded = load(&db, *user).await?;
        let user_id = users.user_id(&db, *user).await?;
        let is_local = user_id.is_some_and(|user_id| users.is_local(&user_id));
        let now = parts.now();
        parts.lock().restore(*user, loaded, is_local, now);
    }
    Ok(page.last().map(|(user, ())| *user))
}

pub(crate) async fn run(parts: Arc<Shared>, start: Stamp, stop: CancellationToken) {
    let mut published = parts.rooms.store().published();
    published.mark_changed();
    let mut cursor = Position::last_of(start);
    let mut since_kept = 0;
    loop {
        let next = parts.lock().sleep();
        let tick = async {
            match next {
                Some(at) => {
                    let wait = at.saturating_sub(parts.now());
                    tokio::time::sleep(Duration::from_millis(wait)).await;
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = parts.changed.notified() => {}
            () = tick => {}
            more = published.changed() => {
                if more.is_err() {
                    return;
                }
                match catch_up(&parts, &mut cursor).await {
                    Ok(entries) => since_kept += entries,
                    Err(error) => {
                        tracing::error!(%error, "reading the server's log for presence failed; will retry");
                        wait(RETRY, &stop).await;
                        published.mark_changed();
                    }
                }
            }
        }
        pass_time(&parts).await;
        if since_kept >= KEEP_EVERY {
            since_kept = 0;
            keep_from(&parts, cursor).await;
        }
    }
}

/// Applies the passing of time, and publishes what is due.
async fn pass_time(parts: &Shared) {
    let mut publication = Publication::default();
    while {
        let now = parts.now();
        parts.lock().tick(now, &mut publication)
    } {
        tokio::task::yield_now().await;
    }
    if publication.users.is_empty() && publication.online.is_empty() && publication.rows.is_empty()
    {
        return;
    }
    for rows in publication.rows.chunks(WRITTEN) {
        if let Err(error) = write(parts, rows, Durable::Soon).await {
            tracing::warn!(%error, users = rows.len(), "could not store who is online");
        }
    }
    parts.wake(publication);
}

/// Stores the last states of users: those of now, if they are still held. Of two commits that write
/// a user, the later one has read what the first one wrote, so an older state never overwrites a
/// newer one.
pub(crate) async fn write(
    parts: &Shared,
    rows: &[(UserNumber, PresenceRow)],
    durable: Durable,
) -> Result<(), StoreError> {
    let write = parts.rooms.store().transact(|txn| async move {
        for (user, row) in rows {
            let stored = txn.get(PRESENCE.at(*user)).await?;
            let newest = parts.lock().row(*user);
            let row = newest.unwrap_or_else(|| row.clone());
            if stored.as_ref() == Some(&row) {
                continue;
            }
            txn.put(PRESENCE.at(*user), &row);
            if row.state.is_online() {
                txn.put(PRESENT_USERS.at(*user), &());
            } else {
                txn.delete(PRESENT_USERS.at(*user));
            }
        }
        if durable == Durable::Soon {
            txn.may_wait();
        }
        Ok::<_, StoreError>(())
    });
    write.await.map(|_| ())
}

/// Applies the memberships that changed. Returns how many entries there were.
async fn catch_up(parts: &Shared, cursor: &mut Position) -> Result<usize, StoreError> {
    let gate = parts.gate.write().await;
    let db = parts.rooms.snapshot().await?;
    let mut entries = 0;
    loop {
        let mut page = db.page(SERVER_LOG.all().after(*cursor), PAGE).await?;
        let Some((last, _)) = page.last().copied() else {
            break;
        };
        let is_last = page.len() < PAGE;
        if !is_last {
            let rest = SERVER_LOG.all().after(last);
            page.extend(
                db.page(rest.through(Position::last_of(last.0)), usize::MAX)
                    .await?,
            );
        }
        apply(parts, &db, &memberships(&page)).await?;
        entries += page.len();
        *cursor = page.last().map_or(*cursor, |(last, _)| *last);
        if is_last {
            break;
        }
    }
    parts.followed.send_replace(db.stamp());
    drop(gate);
    Ok(entries)
}

async fn apply(
    parts: &Shared,
    db: &Snapshot,
    pairs: &[(RoomNumber, UserNumber)],
) -> Result<(), StoreError> {
    if pairs.is_empty() {
        return Ok(());
    }
    let known: Vec<(RoomNumber, UserNumber)> = {
        let board = parts.lock();
        let known = pairs.iter().filter(|(_, user)| board.knows(*user));
        known.copied().collect()
    };
    let rows = known
        .iter()
        .map(|(room, user)| MEMBERS.at((*room, *user)))
        .collect();
    let rows = db.get_many(rows).await?;
    let now = parts.now();
    let mut board = parts.lock();
    for ((room, user), row) in known.iter().zip(rows) {
        let is_joined = row.is_some_and(|row| row.value.membership == Membership::Join);
        board.set_membership(*user, *room, is_joined, now);
    }
    for (room, _) in pairs {
        board.touch_room(*room, now);
    }
    Ok(())
}

/// The memberships that may have changed: a commit that changes one names the room and the user.
fn memberships(page: &[(Position, Concern)]) -> Vec<(RoomNumber, UserNumber)> {
    let mut pairs = Vec::new();
    for commit in page.chunk_by(|(a, _), (b, _)| a.0 == b.0) {
        for (_, user) in commit {
            let Concern::User(user) = user else { continue };
            for (_, room) in commit {
                if let Concern::Room(room) = room {
                    pairs.push((*room, *user));
                }
            }
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

/// Lets the log before the cursor go.
async fn keep_from(parts: &Shared, cursor: Position) {
    let keep = parts.rooms.store().transact(|txn| async move {
        txn.put(CURSORS.at(CURSOR), &cursor);
        txn.may_wait();
        Ok::<_, StoreError>(())
    });
    if let Err(error) = keep.await {
        tracing::warn!(%error, "could not store how far presence has read the server's log");
    }
}

async fn wait(time: Duration, stop: &CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}
