//! Brings the index forward: reads what the server's log says after the last entry read, and publishes how far it is.

use std::time::Duration;

use database::{
    Position, Read, RoomNumber, Snapshot, Stamp, StoreError, UserNumber,
    server_log::{self, Concern, SERVER_LOG},
};
use tokio_util::sync::CancellationToken;

use super::{Notifier, Wake};

/// Entries read at once.
const PAGE: usize = 512;
/// Entries after which the log behind is trimmed: the index begins anew with each start. Others who follow keep what they
/// need.
const TRIM_EVERY: usize = 16 * 1024;
/// How long to wait before a failed read is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// Failed reads in a row after which the index is given up.
const TRIES: u32 = 50;

/// Says, when the task ends for whatever reason, that it has ended.
struct Ended {
    notifier: Notifier,
    stop: CancellationToken,
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.notifier.0.waiters.close();
        if !self.stop.is_cancelled() {
            tracing::error!("following the server's log has ended: no /sync can be answered");
            self.notifier.0.failed.cancel();
        }
    }
}

pub(super) async fn run(notifier: Notifier, start: Stamp, stop: CancellationToken) {
    let ended = Ended { notifier, stop };
    let notifier = &ended.notifier;
    let mut published = notifier.0.store.published();
    published.mark_changed();
    let mut cursor = Position::last_of(start);
    let (mut failures, mut untrimmed) = (0, 0);
    loop {
        tokio::select! {
            () = ended.stop.cancelled() => return,
            more = published.changed() => if more.is_err() { return },
        }
        match catch_up(notifier, &mut cursor).await {
            Ok(entries) => {
                failures = 0;
                untrimmed += entries;
            }
            Err(error) => {
                failures += 1;
                tracing::error!(%error, "reading the server's log failed");
                if failures == TRIES {
                    return;
                }
                tokio::time::sleep(RETRY).await;
                published.mark_changed();
            }
        }
        if untrimmed >= TRIM_EVERY {
            untrimmed = 0;
            if let Err(error) = server_log::trim(&notifier.0.store, cursor).await {
                tracing::warn!(%error, "trimming the server's log failed; it is tried again later");
            }
        }
    }
}

/// Reads to the end of the log; how many entries there were.
async fn catch_up(notifier: &Notifier, cursor: &mut Position) -> Result<usize, StoreError> {
    let db = notifier.0.store.snapshot().await?;
    let mut told = Vec::new();
    loop {
        let mut page = db.page(SERVER_LOG.all().after(*cursor), PAGE).await?;
        let is_last = page.len() < PAGE;
        let Some((last, _)) = page.last() else { break };
        let rest_of_commit = SERVER_LOG
            .all()
            .after(*last)
            .through(Position::last_of(last.0));
        if !is_last {
            page.extend(db.page(rest_of_commit, usize::MAX).await?);
        }
        learn(notifier, &db, &page).await?;
        *cursor = page.last().map_or(*cursor, |(last, _)| *last);
        told.extend(page);
        if is_last {
            break;
        }
    }
    notifier.0.indexed.send_replace(db.stamp());
    // Who is woken awaits the index, so they come after it.
    for (Position(stamp, _), concern) in &told {
        let wake = Wake {
            stamp: *stamp,
            ..Wake::default()
        };
        match concern {
            Concern::Room(room) => notifier.wake_members(*room, wake),
            Concern::User(user) => notifier.0.waiters.wake(*user, wake),
            Concern::DeviceList(user) => notifier.wake_contacts(&db, *user, wake).await?,
        }
    }
    Ok(told.len())
}

async fn learn(
    notifier: &Notifier,
    db: &Snapshot,
    page: &[(Position, Concern)],
) -> Result<(), StoreError> {
    let parts = &notifier.0;
    let mut pairs = memberships(page);
    parts.members.concerned(&mut pairs);
    parts.members.refresh(db, &pairs).await?;
    for (Position(stamp, _), concern) in page {
        match concern {
            Concern::Room(room) => parts.room_changes.note(*room, *stamp),
            Concern::User(user) => parts.user_changes.note(*user, *stamp),
            Concern::DeviceList(user) => {
                parts.user_changes.note(*user, *stamp);
                parts.device_lists.note(*user, *stamp);
            }
        }
    }
    Ok(())
}

/// The memberships that may have changed: a commit that changes one tells the room and the user.
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
