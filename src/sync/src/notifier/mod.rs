//! The notifier: follows the server's log, knows when rooms and users last changed, and wakes who waits.
//!
//! One task (`follow`) brings the index forward and publishes how far it is: a `/sync` at snapshot P first waits for an
//! index of P. A second one (`wake`) wakes the members of rooms that told something, large rooms in chunks; it is never in
//! the way of the first, nor of a room's writer.

mod changes;
mod follow;
mod members;
mod waiters;
mod wake;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use database::{RoomNumber, Snapshot, Stamp, Store, StoreError, UserNumber};
use presence::Presence;
use rooms_writer::Typing;
use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::{
    changes::Changed,
    waiters::{Waiter, Wake},
};
use self::{changes::Changes, members::Members, waiters::Waiters};

/// Rooms and users whose last change is held: some 50 bytes each.
const CHANGES: usize = 1 << 18;
/// Memberships of active rooms that are held: some 20 bytes each.
const MEMBERSHIPS: usize = 1 << 19;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Notifier(Arc<Parts>);

struct Parts {
    store: Store,
    typing: Typing,
    presence: Presence,
    room_changes: Changes<RoomNumber>,
    user_changes: Changes<UserNumber>,
    /// When the devices or keys of users last changed, for those who share rooms with them.
    device_lists: Changes<UserNumber>,
    members: Members,
    waiters: Arc<Waiters>,
    /// All commits up to here are in the index.
    indexed: watch::Sender<Stamp>,
    /// Rooms whose members are to be woken, and why.
    to_wake: Mutex<HashMap<RoomNumber, Wake>>,
    wake_added: Notify,
    /// Cancelled when a task ended that must not end.
    failed: CancellationToken,
}

impl Notifier {
    /// Starts the tasks. The index begins with what is on disk now.
    pub(crate) async fn open(
        store: Store,
        typing: Typing,
        presence: Presence,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, StoreError> {
        let start = database::Read::stamp(&store.snapshot().await?);
        let notifier = Self(Arc::new(Parts {
            store,
            typing,
            presence,
            room_changes: Changes::new(start, CHANGES),
            user_changes: Changes::new(start, CHANGES),
            device_lists: Changes::new(start, CHANGES),
            members: Members::new(MEMBERSHIPS),
            waiters: Arc::new(Waiters::new()),
            indexed: watch::Sender::new(start),
            to_wake: Mutex::default(),
            wake_added: Notify::new(),
            failed: CancellationToken::new(),
        }));
        tasks.spawn(follow::run(notifier.clone(), start, stop.clone()));
        tasks.spawn(wake::run(notifier.clone(), stop));
        Ok(notifier)
    }

    /// Resolves when the index can no longer be kept.
    pub(crate) async fn failed(&self) {
        self.0.failed.cancelled().await;
    }

    /// A slot in which one request of the user can wait. Taken before the request's snapshot.
    pub(crate) fn register(&self, user: UserNumber) -> Waiter {
        self.0.waiters.register(user)
    }

    /// Whether nobody shall wait any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.waiters.is_closed()
    }

    /// A snapshot that the index has caught up with.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let db = self.0.store.snapshot().await?;
        let stamp = database::Read::stamp(&db);
        if *self.0.indexed.borrow() >= stamp {
            return Ok(db);
        }
        let mut indexed = self.0.indexed.subscribe();
        indexed
            .wait_for(|indexed| *indexed >= stamp)
            .await
            .map_err(|_| StoreError::Unavailable("the server is shutting down".to_owned()))?;
        Ok(db)
    }

    /// Which of the rooms changed after the stamp, in the order asked.
    pub(crate) fn rooms_changed(
        &self,
        since: Stamp,
        rooms: impl Iterator<Item = RoomNumber>,
    ) -> Vec<Changed> {
        self.0
            .room_changes
            .read(|changed| rooms.map(|room| changed(room, since)).collect())
    }

    pub(crate) fn room_changed(&self, room: RoomNumber, since: Stamp) -> Changed {
        self.0.room_changes.changed_after(room, since)
    }

    /// What the disk said about a room of which nothing was known.
    pub(crate) fn room_changed_at(&self, room: RoomNumber, stamp: Stamp) {
        self.0.room_changes.note(room, stamp);
    }

    pub(crate) fn user_changed(&self, user: UserNumber, since: Stamp) -> Changed {
        self.0.user_changes.changed_after(user, since)
    }

    /// Whether the devices or keys of anybody may have changed after the stamp.
    pub(crate) fn device_lists_changed(&self, since: Stamp) -> bool {
        self.0.device_lists.any_changed_after(since)
    }
}
