//! Transactions of other servers (server-server API, "Transactions"), from the request to the room's writer.
//!
//! 1. `accept`: before the answer, only what needs no network. The PDUs and the answer are one commit.
//! 2. `worker`: one per room with something in its inbox, the servers that sent it in turn. Events whose
//!    previous events are held go to the room's writer, a batch at a time.
//! 3. `waiting`: what misses events or keys waits for its turn to fetch them, per room and server, and is
//!    tried again ever more rarely.
//!
//! A restart goes on with what the tables hold.

mod accept;
mod answers;
mod origins;
mod waiting;
mod worker;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use database::{Millis, Read as _, RoomNumber, StoreError};
use ruma::OwnedServerName;
use tokio::sync::Semaphore;

pub use self::accept::{Transaction, TransactionError};
pub(crate) use self::origins::Origins;
use crate::{
    handle::RemoteRooms,
    tables::{INBOX, WAITING_PDUS},
};

/// Transactions that are accepted at once, of all servers.
const MOST_ACCEPTED: usize = 64;
/// Rooms whose workers deliver at once.
const MOST_WORKERS: usize = 64;
/// Rooms and servers for which something is fetched at once.
const MOST_FETCHERS: usize = 128;

/// What runs now. Owner: `RemoteRooms`.
pub(crate) struct Inbox {
    origins: Origins,
    accepting: Semaphore,
    delivering: Semaphore,
    fetching: Semaphore,
    workers: Running<RoomNumber>,
    fetchers: Running<(RoomNumber, OwnedServerName)>,
    /// One fetch at a time in a room: what the first finds is what the others miss.
    room_fetches: Origins<RoomNumber>,
}

/// The tasks that run, each with whether there is new work since it looked last.
struct Running<K>(Mutex<HashMap<K, bool>>);

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            origins: Origins::new(),
            accepting: Semaphore::new(MOST_ACCEPTED),
            delivering: Semaphore::new(MOST_WORKERS),
            fetching: Semaphore::new(MOST_FETCHERS),
            workers: Running(Mutex::default()),
            fetchers: Running(Mutex::default()),
            room_fetches: Origins::new(),
        }
    }
}

impl<K: std::hash::Hash + Eq + Clone> Running<K> {
    /// Whether the caller is to start the task: none runs. One that runs looks again.
    fn begin(&self, key: &K) -> bool {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(has_more) = running.get_mut(key) {
            *has_more = true;
            return false;
        }
        running.insert(key.clone(), false);
        true
    }

    /// Whether the task may end: there was no new work since the last call.
    fn end(&self, key: &K) -> bool {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match running.get_mut(key) {
            Some(has_more) if *has_more => {
                *has_more = false;
                false
            }
            _ => {
                running.remove(key);
                true
            }
        }
    }
}

impl RemoteRooms {
    /// Goes on with a room's inbox: for events that came while the room was being joined.
    pub fn wake_inbox(&self, room: RoomNumber) {
        if self.0.inbox.workers.begin(&room) {
            let task = worker::run(self.clone(), room);
            self.0.needs.tasks.spawn(task);
        }
    }

    fn wake_fetcher(&self, room: RoomNumber, origin: &OwnedServerName) {
        let key = (room, origin.clone());
        if self.0.inbox.fetchers.begin(&key) {
            let task = waiting::run(self.clone(), room, key.1);
            self.0.needs.tasks.spawn(task);
        }
    }

    /// Takes up what an earlier run of the server left, and deletes old answers from time to time.
    pub(crate) fn start_inbox(&self) {
        let (this, stop) = (self.clone(), self.0.needs.stop.clone());
        self.0.needs.tasks.spawn(async move {
            if let Err(error) = this.resume().await {
                tracing::error!(%error, "could not read the inbox of earlier transactions");
            }
            stop.run_until_cancelled(answers::forget_old(&this)).await;
        });
    }

    async fn resume(&self) -> Result<(), StoreError> {
        let db = self.rooms().snapshot().await?;
        let mut rows = INBOX.all();
        while let Some(((room, ..), _)) = db.first(rows).await? {
            self.wake_inbox(room);
            rows = INBOX
                .all()
                .after((RoomNumber(room.0), LAST_TEXT, database::Position::MAX));
        }
        let mut rows = WAITING_PDUS.all();
        while let Some(((room, origin, ..), _)) = db.first(rows).await? {
            if let Ok(name) = OwnedServerName::try_from(origin.as_str()) {
                self.wake_fetcher(room, &name);
            }
            let last = (room, origin.as_str(), Millis(u64::MAX), LAST_TEXT);
            rows = WAITING_PDUS.all().after(last);
        }
        Ok(())
    }
}

/// Greater than every server name and event id.
const LAST_TEXT: &str = "\u{10FFFF}";
