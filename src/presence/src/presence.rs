//! The handle.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use database::{
    Clock, Millis, Read, RoomNumber, Stamp, Store, StoreError, UserNumber, follow::CURSORS,
};
use rooms_store::RoomStore;
use ruma::{OwnedUserId, UserId};
use tokio::sync::{Notify, RwLock, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    board::{Board, Limits, Publication, RemoteState, Update, Updates},
    load::{joined_rooms, load, share_a_room},
    state::PresenceState,
    tables::PRESENCE,
    task,
};

/// The longest status message.
pub const MAX_STATUS_BYTES: usize = 1024;
/// The name of the cursor that keeps the server's log for this crate.
pub(crate) const CURSOR: &str = "presence";

/// The operator's settings.
#[derive(Clone, Debug)]
pub struct PresenceConfig {
    pub enabled: bool,
    /// Without an action for so long, a user who is online is unavailable.
    pub idle_after: Duration,
    /// Without a sync for so long, a device is offline.
    pub offline_after: Duration,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            idle_after: Duration::from_mins(5),
            offline_after: Duration::from_secs(30),
        }
    }
}

/// Why presence was not shown, or not set.
#[derive(Debug, thiserror::Error)]
pub enum PresenceError {
    /// Longer than [`MAX_STATUS_BYTES`].
    #[error("the status message is too long")]
    StatusTooLong,
    /// The users share no room, or there is no such user.
    #[error("you share no room with this user")]
    NotShared,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who is online. Cheap to clone. Disabled, it holds nothing and does nothing.
#[derive(Clone)]
pub struct Presence(pub(crate) Option<Arc<Shared>>);

pub(crate) struct Shared {
    pub(crate) rooms: RoomStore,
    clock: Arc<dyn Clock>,
    /// Where the board's time axis begins: it follows the wall clock of the start, and never jumps.
    epoch: (Millis, Duration),
    pub(crate) board: Mutex<Board>,
    /// A deadline may have come closer.
    pub(crate) changed: Notify,
    /// Taken for writing while the server's log is applied, so that a user who is being read misses
    /// nothing.
    pub(crate) gate: RwLock<()>,
    /// The log is applied up to here.
    pub(crate) followed: watch::Sender<Stamp>,
    /// Whose syncs are to be woken.
    woken: Mutex<Woken>,
    pub(crate) woken_added: Notify,
    stop: CancellationToken,
}

/// Whose syncs are to be woken, and the change that they shall have seen then.
#[derive(Debug, Default)]
pub struct Woken {
    pub presence: HashSet<UserNumber>,
    pub online: HashSet<UserNumber>,
    pub counter: u64,
}

/// What `GET /presence` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub state: PresenceState,
    pub status_msg: Option<String>,
    pub last_active_ago: Option<u64>,
    pub currently_active: Option<bool>,
}

impl Presence {
    /// Starts the task that follows the server's log and the time.
    pub async fn open(
        rooms: RoomStore,
        clock: Arc<dyn Clock>,
        config: &PresenceConfig,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, StoreError> {
        if !config.enabled {
            return Self::disabled(rooms.store()).await;
        }
        let millis =
            |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 4);
        let limits = Limits {
            idle_after: millis(config.idle_after).max(1),
            offline_after: millis(config.offline_after).max(1),
        };
        let start = task::begin(rooms.store()).await?;
        let parts = Arc::new(Shared {
            epoch: (clock.now(), clock.monotonic()),
            rooms,
            clock,
            board: Mutex::new(Board::new(limits)),
            changed: Notify::new(),
            gate: RwLock::new(()),
            followed: watch::Sender::new(start),
            woken: Mutex::default(),
            woken_added: Notify::new(),
            stop: stop.clone(),
        });
        let ended = Arc::downgrade(&parts);
        let end = move |user, is_ended: &dyn Fn(&str) -> bool| {
            if let Some(parts) = ended.upgrade() {
                parts.if_held(|board, now| board.end_devices(user, is_ended, now));
            }
        };
        parts.rooms.users().on_ended_devices(Box::new(end));
        tasks.spawn(task::restore(parts.clone(), stop.clone()));
        tasks.spawn(task::run(parts.clone(), start, stop));
        Ok(Self(Some(parts)))
    }

    /// Lets go of the log that an earlier run has kept.
    async fn disabled(store: &Store) -> Result<Self, StoreError> {
        if store.snapshot().await?.exists(CURSORS.at(CURSOR)).await? {
            let forget = store.transact(|txn| async move {
                txn.delete(CURSORS.at(CURSOR));
                Ok::<_, StoreError>(())
            });
            forget.await?;
        }
        Ok(Self(None))
    }

    pub fn is_enabled(&self) -> bool {
        self.0.is_some()
    }

    /// The user did something: they are not idle.
    pub fn active(&self, user: UserNumber, device: &str) {
        if let Some(parts) = &self.0 {
            parts.if_held(|board, now| board.active(user, device, now));
        }
    }

    /// `PUT /presence`: without a status message, the old one goes. Durable when it returns.
    pub async fn put(
        &self,
        user: UserNumber,
        device: &str,
        state: PresenceState,
        status_msg: Option<&str>,
    ) -> Result<(), PresenceError> {
        let Some(parts) = &self.0 else {
            return Ok(());
        };
        if status_msg.is_some_and(|text| text.len() > MAX_STATUS_BYTES) {
            return Err(PresenceError::StatusTooLong);
        }
        let status_msg = status_msg.filter(|text| !text.is_empty());
        let put = |board: &mut Board, now| board.put(user, device, state, status_msg, now);
        let (row, is_new) = parts.with_user(user, put).await?;
        if is_new {
            parts.check_device(user, device).await?;
        }
        task::write(parts, &[(user, row)], task::Durable::Now).await?;
        Ok(())
    }

    /// What another server says about its user. Users who are in no room of this server are
    /// ignored; an overlong status message is dropped.
    pub async fn set_remote(
        &self,
        user_id: &UserId,
        mut remote: RemoteState,
    ) -> Result<(), StoreError> {
        let Some(parts) = &self.0 else {
            return Ok(());
        };
        let users = parts.rooms.users();
        let db = parts.rooms.snapshot().await?;
        let number = users.number(&db, user_id).await?;
        let Some(user) = number.filter(|_| !users.is_local(user_id)) else {
            return Ok(());
        };
        if !parts.lock().knows(user) && joined_rooms(&db, user).await?.is_empty() {
            return Ok(());
        }
        let text = remote.status_msg.take();
        remote.status_msg = text.filter(|text| !text.is_empty() && text.len() <= MAX_STATUS_BYTES);
        let set = |board: &mut Board, now| board.set_remote(user, remote, now);
        parts.with_user(user, set).await
    }

    /// The presence of a user, for one who shares a room with them.
    pub async fn status(
        &self,
        viewer: UserNumber,
        target: &OwnedUserId,
    ) -> Result<Status, PresenceError> {
        let offline = Status {
            state: PresenceState::Offline,
            status_msg: None,
            last_active_ago: None,
            currently_active: None,
        };
        let Some(parts) = &self.0 else {
            return Ok(offline);
        };
        let db = parts.rooms.snapshot().await?;
        let number = parts.rooms.users().number(&db, target).await?;
        let number = number.ok_or(PresenceError::NotShared)?;
        if number != viewer && !share_a_room(&db, viewer, number).await? {
            return Err(PresenceError::NotShared);
        }
        let now = parts.now();
        if let Some(update) = parts.lock().update(number, now) {
            return Ok(update.into());
        }
        let Some(row) = db.get(PRESENCE.at(number)).await? else {
            return Ok(offline);
        };
        let ago = now.saturating_sub(row.last_active.0);
        Ok(Status {
            state: row.state,
            status_msg: row.status_msg,
            last_active_ago: (row.last_active.0 != 0).then_some(ago),
            currently_active: row.state.is_online().then_some(false),
        })
    }

    /// The newest change that may have been published.
    pub fn counter(&self) -> u64 {
        self.read(|board, _| board.counter()).unwrap_or_default()
    }

    /// What a watcher, who has a [`Connection`], may know of the changes after `since`, a counter
    /// of this run of the server; without it, of all who are online. At most `limit` users.
    pub fn updates(
        &self,
        watcher: UserNumber,
        since: Option<u64>,
        new_rooms: &[RoomNumber],
        limit: usize,
    ) -> Updates {
        self.read(|board, now| board.updates(watcher, since, new_rooms, limit, now))
            .unwrap_or_default()
    }

    /// Waits until somebody's sync is to be woken. For one caller; pending forever where presence
    /// is disabled.
    pub async fn woken(&self) -> Woken {
        let Some(parts) = &self.0 else {
            return std::future::pending().await;
        };
        loop {
            parts.woken_added.notified().await;
            let woken = std::mem::take(&mut *lock(&parts.woken));
            if !woken.presence.is_empty() || !woken.online.is_empty() {
                return woken;
            }
        }
    }

    /// Waits until the log is applied up to a commit.
    pub(crate) async fn followed(&self, stamp: Stamp) -> Result<(), StoreError> {
        let Some(parts) = &self.0 else {
            return Ok(());
        };
        if *parts.followed.borrow() >= stamp {
            return Ok(());
        }
        let mut followed = parts.followed.subscribe();
        tokio::select! {
            Ok(_) = followed.wait_for(|followed| *followed >= stamp) => Ok(()),
            () = parts.stop.cancelled() => {
                Err(StoreError::Unavailable("the server is shutting down".to_owned()))
            }
        }
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Board, u64) -> T) -> Option<T> {
        let parts = self.0.as_ref()?;
        let now = parts.now();
        Some(read(&parts.lock(), now))
    }
}

impl Shared {
    /// Milliseconds on the board's time axis.
    pub(crate) fn now(&self) -> u64 {
        let (wall, monotonic) = self.epoch;
        let since = self.clock.monotonic().saturating_sub(monotonic);
        wall.plus(since).0
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Board> {
        lock(&self.board)
    }

    /// Changes the board for a user, who is read first if they are not held.
    pub(crate) async fn with_user<T>(
        &self,
        user: UserNumber,
        change: impl FnOnce(&mut Board, u64) -> T,
    ) -> Result<T, StoreError> {
        {
            let mut board = self.lock();
            if board.knows(user) {
                let changed = change(&mut board, self.now());
                self.reschedule(&board);
                return Ok(changed);
            }
        }
        let gate = self.gate.read().await;
        let loaded = load(&self.rooms.snapshot().await?, user).await?;
        let mut board = self.lock();
        board.insert(user, loaded);
        let changed = change(&mut board, self.now());
        self.reschedule(&board);
        drop(board);
        drop(gate);
        Ok(changed)
    }

    /// Changes the board for a user, if they are held.
    pub(crate) fn if_held(&self, change: impl FnOnce(&mut Board, u64)) {
        let mut board = self.lock();
        change(&mut board, self.now());
        self.reschedule(&board);
    }

    /// Wakes the task if it would sleep for too long.
    fn reschedule(&self, board: &Board) {
        if board
            .next_tick()
            .is_some_and(|next| next < board.sleeps_until)
        {
            self.changed.notify_one();
        }
    }

    pub(crate) fn wake(&self, publication: Publication) {
        let Publication {
            mut presence,
            mut online,
            counter,
            ..
        } = publication;
        {
            let board = self.lock();
            board.retain_connected(&mut presence);
            board.retain_connected(&mut online);
        }
        if presence.is_empty() && online.is_empty() {
            return;
        }
        let mut woken = lock(&self.woken);
        woken.presence.extend(presence);
        woken.online.extend(online);
        woken.counter = woken.counter.max(counter);
        drop(woken);
        self.woken_added.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("nothing panics while it holds this lock")
}

impl From<Update> for Status {
    fn from(update: Update) -> Self {
        Self {
            state: update.state,
            status_msg: update.status_msg,
            last_active_ago: update.last_active_ago,
            currently_active: update.currently_active,
        }
    }
}
