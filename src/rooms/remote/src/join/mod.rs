//! Joining rooms (server-server API, "Joining Rooms"): by way of the room's writer where this server is in the room, else by way of a
//! server that is.
//!
//! A join by way of another server is a job with a row (`jobs`), done by a task of its own: whoever asked may hang up, asks for it
//! again and waits for the same job, and a restart takes it up. The events of the room enter as outliers, in bounded commits; nothing
//! of them is visible before the join itself is placed, which is the last commit.

mod answer;
mod attempt;
mod jobs;
mod template;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use database::{Read as _, UserNumber};
use rooms_store::{Membership, Residency, RoomError, tables::ROOM_HEADS};
use rooms_writer::{Change, MembershipRequest};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId};
use serde_json::{Map, Value};
use tokio::{
    sync::{Semaphore, watch},
    time::timeout,
};

pub(crate) use self::attempt::refusal;
pub(crate) use self::jobs::JOINS;
pub use self::jobs::JoinJob;
use crate::handle::RemoteRooms;

/// Servers that are asked for one join.
const MOST_SERVERS: usize = 20;
/// Joins at once, each with the state of a room in memory.
const AT_ONCE: usize = 4;
/// For one join over all servers, waiting for its turn included.
const LONGEST: Duration = Duration::from_mins(20);

/// A join by way of other servers.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) room_id: OwnedRoomId,
    pub(crate) user: OwnedUserId,
    pub(crate) via: Vec<OwnedServerName>,
    /// What the client wants in the content.
    pub(crate) content: Map<String, Value>,
}

type Finished = Option<Result<(), Arc<RoomError>>>;

/// The joins that are under way. Bound: one for each room that a request of a local user waits for.
pub(crate) struct Joins {
    running: Mutex<HashMap<OwnedRoomId, Running>>,
    turns: Semaphore,
}

#[derive(Clone)]
struct Running {
    user: OwnedUserId,
    finished: watch::Receiver<Finished>,
}

impl Joins {
    pub(crate) fn new() -> Self {
        Self {
            running: Mutex::default(),
            turns: Semaphore::new(AT_ONCE),
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<OwnedRoomId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RemoteRooms {
    /// Joins a local user to a room, by way of the servers `via` or others that may know it where this server is not in the room.
    pub async fn join(
        &self,
        room_id: &RoomId,
        request: MembershipRequest,
        via: &[OwnedServerName],
    ) -> Result<(), RoomError> {
        loop {
            if self.is_resident(room_id).await? {
                return self.writer().change_membership(room_id, request).await;
            }
            let mut content = request.extra.clone();
            if let Some(reason) = &request.reason {
                content.insert("reason".to_owned(), reason.as_str().into());
            }
            let job = Job {
                room_id: room_id.to_owned(),
                user: request.target.clone(),
                via: self.candidates(room_id, &request.target, via).await?,
                content,
            };
            if job.via.is_empty() {
                return Err(RoomError::UnknownRoom);
            }
            let mut running = self.start_join(job);
            let finished = running.finished.wait_for(Option::is_some).await;
            let finished = finished.map_err(|_| RoomError::ShuttingDown)?.clone();
            if running.user == request.target {
                let result = finished.unwrap_or(Ok(()));
                return result.map_err(|error| copy(&error));
            }
        }
    }

    /// Whether a local user is in the room.
    pub(crate) async fn is_resident(&self, room_id: &RoomId) -> Result<bool, RoomError> {
        let db = self.rooms().snapshot().await?;
        let Some(room) = self.rooms().number(&db, room_id).await? else {
            return Ok(false);
        };
        let head = db.get(ROOM_HEADS.at(room)).await?;
        Ok(head.is_some_and(|head| head.residency == Residency::Resident))
    }

    /// The servers to ask: those that the client names, that of whoever invited the user, those that were in the room when this server
    /// was, and the one that the room's id names.
    async fn candidates(
        &self,
        room_id: &RoomId,
        user: &UserId,
        via: &[OwnedServerName],
    ) -> Result<Vec<OwnedServerName>, RoomError> {
        let mut servers: Vec<_> = via.iter().take(MOST_SERVERS).cloned().collect();
        let rooms = self.rooms();
        let db = rooms.snapshot().await?;
        if let Some(room) = rooms.number(&db, room_id).await? {
            let number = rooms.users().number(&db, user).await?;
            let own = match number {
                Some(number) => rooms.user_room(&db, number, room).await?,
                None => None,
            };
            let inviter = match own.filter(|own| own.membership == Membership::Invite) {
                Some(own) => rooms.users().user_id(&db, own.by).await?,
                None => None,
            };
            servers.extend(inviter.map(|inviter| inviter.server_name().to_owned()));
            servers.extend(rooms.servers_in_room(&db, room, None, MOST_SERVERS).await?);
        }
        servers.extend(room_id.server_name().map(ToOwned::to_owned));
        let mut candidates = Vec::new();
        for server in servers {
            let is_usable = self.federation().policy().permits(&server)
                && server != rooms.server_name()
                && !candidates.contains(&server);
            if is_usable && candidates.len() < MOST_SERVERS {
                candidates.push(server);
            }
        }
        Ok(candidates)
    }

    /// Starts a join, unless one of the room is under way.
    fn start_join(&self, job: Job) -> Running {
        let mut joins = self.0.joins.running();
        if let Some(running) = joins.get(&job.room_id) {
            return running.clone();
        }
        let (done, finished) = watch::channel(None);
        let running = Running {
            user: job.user.clone(),
            finished,
        };
        joins.insert(job.room_id.clone(), running.clone());
        drop(joins);
        let rooms = self.clone();
        self.0.needs.tasks.spawn(async move {
            let result = rooms.run_join(&job).await;
            if let Err(error) = &result {
                tracing::info!(room.id = %job.room_id, user.id = %job.user, %error, "could not join over federation");
            }
            rooms.0.joins.running().remove(&job.room_id);
            // Whoever asked may be gone.
            drop(done.send(Some(result.map_err(Arc::new))));
        });
        running
    }

    /// Does a job. Its row is deleted with its end, except when the server stops.
    async fn run_join(&self, job: &Job) -> Result<(), RoomError> {
        self.write_job(job).await?;
        let stop = self.0.needs.stop.clone();
        let work = async {
            let turn = self.0.joins.turns.acquire().await;
            let _turn = turn.map_err(|_| RoomError::ShuttingDown)?;
            self.try_servers(job).await
        };
        let result = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(RoomError::ShuttingDown),
            result = timeout(LONGEST, work) => result.unwrap_or_else(|_| {
                Err(RoomError::NoServer("no server answered in time".to_owned()))
            }),
        };
        if !matches!(result, Err(RoomError::ShuttingDown)) {
            self.delete_job(job).await?;
        }
        result
    }

    /// Asks one server after the other. Whether a refusal is final is for the next server to say: the first may know less.
    async fn try_servers(&self, job: &Job) -> Result<(), RoomError> {
        let mut refusal = None;
        for server in &job.via {
            match self.join_by(server, job).await {
                Ok(()) => return Ok(()),
                Err(error @ (RoomError::ShuttingDown | RoomError::Store(_))) => return Err(error),
                Err(error) => {
                    tracing::debug!(room.id = %job.room_id, %server, %error, "a server did not let us join");
                    // What says most is returned: a refusal, before "not found", before silence.
                    if rank(&error) > refusal.as_ref().map_or(0, rank) {
                        refusal = Some(error);
                    }
                }
            }
        }
        Err(refusal.unwrap_or(RoomError::UnknownRoom))
    }

    /// Joins the user if they have not joined, once for each row that a stop left.
    pub(crate) async fn resume_joins(&self) -> Result<(), RoomError> {
        for job in self.left_jobs().await? {
            if self.is_joined(&job.room_id, &job.user).await? {
                self.delete_job(&job).await?;
            } else {
                self.start_join(job);
            }
        }
        Ok(())
    }

    pub(crate) async fn is_joined(
        &self,
        room_id: &RoomId,
        user: &UserId,
    ) -> Result<bool, RoomError> {
        let db = self.rooms().snapshot().await?;
        let room = self.rooms().number(&db, room_id).await?;
        let user: Option<UserNumber> = self.rooms().users().number(&db, user).await?;
        let (Some(room), Some(user)) = (room, user) else {
            return Ok(false);
        };
        Ok(self.rooms().is_joined(&db, room, user).await?)
    }
}

impl Job {
    fn request(&self) -> MembershipRequest {
        let mut request = MembershipRequest::own(self.user.clone(), Change::Join);
        request.extra.clone_from(&self.content);
        request
    }
}

fn rank(error: &RoomError) -> u8 {
    match error {
        RoomError::NoServer(_) => 1,
        RoomError::UnknownRoom => 2,
        _ => 3,
    }
}

/// The same error for another who waits for it.
fn copy(error: &RoomError) -> RoomError {
    match error {
        RoomError::Forbidden(text) => RoomError::Forbidden(text.clone()),
        RoomError::Invalid(text) => RoomError::Invalid(text.clone()),
        RoomError::BadContent(text) => RoomError::BadContent(text.clone()),
        RoomError::NoServer(text) => RoomError::NoServer(text.clone()),
        RoomError::UnsupportedVersion(version) => RoomError::UnsupportedVersion(version.clone()),
        RoomError::Store(error) => RoomError::Store(error.clone()),
        RoomError::UnknownRoom => RoomError::UnknownRoom,
        RoomError::TooLarge => RoomError::TooLarge,
        RoomError::Busy => RoomError::Busy,
        RoomError::ShuttingDown => RoomError::ShuttingDown,
        error => RoomError::NoServer(error.to_string()),
    }
}
