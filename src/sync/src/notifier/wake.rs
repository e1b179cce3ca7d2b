//! Wakes the members of rooms that told something: only those who wait, and large rooms in chunks.

use database::{Read, RoomNumber, Snapshot, StoreError, UserNumber};
use presence::Woken;
use rooms_store::{Membership, tables::USER_ROOMS};
use tokio_util::sync::CancellationToken;

use super::{Notifier, Wake};

/// Members woken before other tasks get their turn.
const CHUNK: usize = 512;

impl Notifier {
    /// Wakes the members of a room who wait: at once where they are few and known, else soon.
    pub(super) fn wake_members(&self, room: RoomNumber, wake: Wake) {
        if self.0.waiters.users() == 0 {
            return;
        }
        if self
            .0
            .members
            .count(room)
            .is_some_and(|count| count < CHUNK)
        {
            for user in self.0.members.chunk(room, None, CHUNK) {
                self.0.waiters.wake(user, wake);
            }
            return;
        }
        let mut to_wake = self
            .0
            .to_wake
            .lock()
            .expect("nothing panics while it holds this lock");
        let entry = to_wake.entry(room).or_default();
        entry.stamp = entry.stamp.max(wake.stamp);
        entry.typing = entry.typing.max(wake.typing);
        drop(to_wake);
        self.0.wake_added.notify_one();
    }

    /// Wakes a user and those who share a room with them.
    pub(super) async fn wake_contacts(
        &self,
        db: &Snapshot,
        user: UserNumber,
        wake: Wake,
    ) -> Result<(), StoreError> {
        self.0.waiters.wake(user, wake);
        if self.0.waiters.users() == 0 {
            return Ok(());
        }
        for ((_, room), row) in db.page(USER_ROOMS.under(user), usize::MAX).await? {
            if row.value.membership == Membership::Join {
                self.wake_members(room, wake);
            }
        }
        Ok(())
    }
}

pub(super) async fn run(notifier: Notifier, stop: CancellationToken) {
    let typing = &notifier.0.typing;
    let mut typed = typing.changed();
    let mut seen = typing.counter();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = notifier.0.wake_added.notified() => {}
            woken = notifier.0.presence.woken() => wake_presence(&notifier, &woken),
            more = typed.changed() => {
                if more.is_err() {
                    break;
                }
                let counter = *typed.borrow_and_update();
                for room in typing.changed_rooms(seen) {
                    notifier.wake_members(room, Wake { typing: counter, ..Wake::default() });
                }
                seen = counter;
            }
        }
        let to_wake = std::mem::take(
            &mut *notifier
                .0
                .to_wake
                .lock()
                .expect("nothing panics while it holds this lock"),
        );
        for (room, wake) in to_wake {
            wake_room(&notifier, room, wake).await;
        }
    }
    notifier.0.waiters.close();
}

fn wake_presence(notifier: &Notifier, woken: &Woken) {
    let counter = woken.counter;
    for user in &woken.presence {
        let wake = Wake {
            presence: counter,
            ..Wake::default()
        };
        notifier.0.waiters.wake(*user, wake);
    }
    for user in &woken.online {
        let wake = Wake {
            online: counter,
            ..Wake::default()
        };
        notifier.0.waiters.wake(*user, wake);
    }
}

async fn wake_room(notifier: &Notifier, room: RoomNumber, wake: Wake) {
    let parts = &notifier.0;
    let Some(count) = members_held(notifier, room).await else {
        parts.waiters.wake_where(wake, |_| true);
        return;
    };
    if parts.waiters.users() < count {
        parts
            .waiters
            .wake_where(wake, |user| parts.members.is_joined(room, user));
        return;
    }
    let mut last = None;
    loop {
        let chunk = parts.members.chunk(room, last, CHUNK);
        for user in &chunk {
            parts.waiters.wake(*user, wake);
        }
        last = chunk.last().copied();
        if chunk.len() < CHUNK {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// How many members a room has, read if need be. `None` if that failed: then everyone is woken, and looks for themselves.
async fn members_held(notifier: &Notifier, room: RoomNumber) -> Option<usize> {
    let parts = &notifier.0;
    if let Some(count) = parts.members.count(room) {
        return Some(count);
    }
    if let Err(error) = parts.members.load(room, &parts.store).await {
        tracing::warn!(%error, room.number = room.0, "reading who is in a room failed");
        return None;
    }
    parts.members.count(room)
}
