//! The handle: answers at once if there is something to tell, else waits.

use std::{sync::Arc, time::Duration};

use database::{Read, StoreError};
use devices::{DeviceState, Devices};
use presence::Presence;
use push::Push;
use rooms_history::{History, SyncToken};
use rooms_store::RoomStore;
use rooms_writer::Typing;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::Users;

use crate::{
    answer::{self, Answer},
    notifier::{Changed, Notifier},
    open_requests::OpenRequests,
    own_rooms::OwnRoomsCache,
    recent::RecentCache,
    request::{SyncError, SyncRequest},
};

#[derive(Clone, Debug)]
pub struct SyncConfig {
    /// Bytes of memory for lists of rooms and for the newest parts of rooms.
    pub cache_bytes: u64,
    /// How long a client may wait at most, whatever it asks for.
    pub max_wait: Duration,
    /// Requests of one device at once.
    pub open_per_device: usize,
}

/// The parts that an answer is built from.
pub struct SyncNeeds {
    pub history: History,
    pub typing: Typing,
    pub devices: Devices,
    pub push: Push,
    pub presence: Presence,
}

/// Answers `/sync`. Cheap to clone.
#[derive(Clone)]
pub struct Sync(Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) rooms: RoomStore,
    pub(crate) history: History,
    pub(crate) typing: Typing,
    pub(crate) users: Users,
    pub(crate) push: Push,
    pub(crate) devices: Devices,
    pub(crate) presence: Presence,
    pub(crate) notifier: Notifier,
    pub(crate) own_rooms: OwnRoomsCache,
    pub(crate) recent: RecentCache,
    max_wait: Duration,
    open: OpenRequests,
}

impl Default for SyncConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 8 << 20,
            max_wait: Duration::from_mins(5),
            open_per_device: 20,
        }
    }
}

impl Sync {
    /// Starts following the server's log.
    pub async fn open(
        needs: SyncNeeds,
        config: SyncConfig,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, StoreError> {
        let SyncNeeds {
            history,
            typing,
            devices,
            push,
            presence,
        } = needs;
        let rooms = history.rooms().clone();
        let notifier = Notifier::open(
            rooms.store().clone(),
            typing.clone(),
            presence.clone(),
            tasks,
            stop,
        )
        .await?;
        Ok(Self(Arc::new(Parts {
            users: rooms.users().clone(),
            rooms,
            history,
            typing,
            push,
            devices,
            presence,
            notifier,
            own_rooms: OwnRoomsCache::new(config.cache_bytes / 2),
            recent: RecentCache::new(config.cache_bytes / 2),
            max_wait: config.max_wait,
            open: OpenRequests::new(config.open_per_device),
        })))
    }

    /// Resolves when no `/sync` can be answered any more, because the follower of the log has ended.
    pub async fn failed(&self) {
        self.0.notifier.failed().await;
    }

    /// The answer as JSON. Waits for it if there is nothing to tell yet; dropping the future ends the wait.
    pub async fn sync(&self, request: SyncRequest) -> Result<Vec<u8>, SyncError> {
        let parts = &*self.0;
        let open = parts.open.open(request.user, &request.device);
        let _open = open.ok_or(SyncError::TooManyOpen)?;
        // Until the answer is given, the device is online.
        let (user, device) = (request.user, request.device.as_str());
        let connect = Box::pin(parts.presence.connect(user, device, request.set_presence));
        // In a box, like all that is held while the client waits.
        let _connection = Box::new(connect.await?);
        let mut since = match request.since {
            Some(token) => Some(checked(parts, token).await?),
            None => None,
        };
        if let Some(token) = since {
            acknowledge(parts, &request, token).await?;
        }
        let timeout = request.timeout.min(parts.max_wait);
        let may_wait = since.is_some() && !request.full_state && !timeout.is_zero();
        if !may_wait {
            return Ok(build(parts, &request, since, None).await?.json);
        }
        // Before the first snapshot, so that nothing can come in between.
        let waiter = parts.notifier.register(request.user);
        let deadline = tokio::time::Instant::now() + timeout;
        let mut told: Option<Arc<DeviceState>> = None;
        loop {
            let answer = build(parts, &request, since, told.as_deref()).await?;
            if !answer.is_empty || parts.notifier.is_closed() {
                return Ok(answer.json);
            }
            let Answer {
                json,
                next,
                seen,
                device,
                ..
            } = answer;
            drop(json);
            since = Some(next);
            told = Some(device);
            let woken = waiter.woken_beyond(seen);
            if tokio::time::timeout_at(deadline, woken).await.is_err() {
                return Ok(build(parts, &request, since, None).await?.json);
            }
        }
    }
}

impl Sync {
    pub(crate) fn parts(&self) -> &Parts {
        &self.0
    }
}

/// Built in a box of its own: what waits does not hold the space that building takes.
async fn build(
    parts: &Parts,
    request: &SyncRequest,
    since: Option<SyncToken>,
    told: Option<&DeviceState>,
) -> Result<Answer, SyncError> {
    Box::pin(answer::build(parts, request, since, told)).await
}

/// A token says that the answer which gave it has arrived: the messages that it told are deleted.
async fn acknowledge(
    parts: &Parts,
    request: &SyncRequest,
    token: SyncToken,
) -> Result<(), SyncError> {
    let user = request.user;
    let db = parts.notifier.snapshot().await?;
    let is_unchanged = |stamp| parts.notifier.user_changed(user, stamp) == Changed::No;
    let received = answer::received(token);
    let device = request.device.as_str();
    let done = parts
        .devices
        .acknowledge(&db, user, device, received, is_unchanged);
    Ok(Box::pin(done).await?)
}

/// The token as this database means it. One from the future was not given by this server.
async fn checked(parts: &Parts, token: SyncToken) -> Result<SyncToken, SyncError> {
    let store = parts.rooms.store();
    let stamp = store.clamp(token.stamp);
    if stamp > *store.published().borrow() && stamp > store.snapshot().await?.stamp() {
        return Err(SyncError::BadToken);
    }
    Ok(SyncToken { stamp, ..token })
}
