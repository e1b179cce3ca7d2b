//! The handle, and what starts with it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use database::{
    Clock, Random, Read as _, StoreError, Txn,
    follow::{Begin, Follower},
};
use federation::Federation;
use rooms_store::{RoomError, RoomStore};
use rooms_writer::Typing;
use ruma::{EventId, OwnedServerName, RoomId, ServerName};
use serde_json::value::RawValue;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    follow,
    schedule::{self, Schedule},
    tables::{EDU_QUEUE, QUEUE, QueuedEvent},
    typing,
};

/// What the sender is built from.
pub struct SenderNeeds {
    pub rooms: RoomStore,
    pub typing: Typing,
    pub federation: Federation,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

/// Sends to other servers. Cheap to clone.
#[derive(Clone)]
pub struct Sender(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) needs: SenderNeeds,
    pub(crate) schedule: Schedule,
    /// Begins the transaction ids of this run of the server.
    pub(crate) run: String,
    /// Transactions of this run.
    transactions: AtomicU64,
}

impl Sender {
    /// Resumes what an earlier run left.
    pub async fn open(needs: SenderNeeds) -> Result<Self, StoreError> {
        let follower = Follower::open(needs.rooms.store(), "sender", Begin::Newest).await?;
        let schedule = Schedule::load(needs.rooms.store()).await?;
        let run = needs.random.token(12);
        let this = Self(Arc::new(Shared {
            needs,
            schedule,
            run,
            transactions: AtomicU64::new(0),
        }));
        let needs = &this.0.needs;
        if needs.federation.policy().is_enabled() {
            needs.tasks.spawn(follow::run(this.clone(), follower));
            needs.tasks.spawn(schedule::run(this.clone()));
            needs.tasks.spawn(schedule::listen(this.clone()));
            needs.tasks.spawn(typing::run(this.clone()));
        }
        Ok(this)
    }

    /// The id of a new transaction.
    pub(crate) fn next_id(&self) -> String {
        let count = self.0.transactions.fetch_add(1, Ordering::Relaxed);
        format!("{}_{count}", self.0.run)
    }

    pub(crate) fn rooms(&self) -> &RoomStore {
        &self.0.needs.rooms
    }

    /// Sends an event to all servers of its room but this one and `except`: the join, leave or
    /// knock of a user of another server, which this server was asked to accept. Returns once it
    /// is queued.
    pub async fn relay(
        &self,
        room_id: &RoomId,
        event_id: &EventId,
        except: &ServerName,
    ) -> Result<(), RoomError> {
        let db = self.rooms().snapshot().await?;
        let room = self.rooms().require(&db, room_id).await?;
        let event = self.rooms().event_by_id(&db, room, event_id).await?;
        let event = event.ok_or(RoomError::UnknownEvent)?;
        let mut destinations = follow::servers(self.rooms(), &db, room).await?;
        destinations.retain(|server| server != except);
        drop(db);
        let row = &QueuedEvent {
            room,
            event: event.number,
        };
        let rows = &destinations;
        let queued = self.rooms().store().transact(|txn: Txn| async move {
            for destination in rows {
                txn.append(QUEUE.end(destination.as_str()), txn.slot(), row);
            }
            Ok::<_, StoreError>(())
        });
        queued.await?;
        for destination in &destinations {
            self.0.schedule.queued(destination, 1);
        }
        Ok(())
    }

    /// Sends EDUs that must arrive, in their order. Returns once they are queued.
    pub async fn send_edus(
        &self,
        edus: Vec<(OwnedServerName, Box<RawValue>)>,
    ) -> Result<(), StoreError> {
        let own = self.0.needs.federation.server_name();
        let rows: Vec<_> = edus
            .into_iter()
            .filter(|(destination, _)| destination != own)
            .map(|(destination, edu)| (destination, edu.get().to_owned()))
            .collect();
        let queued = self.rooms().store().transact(|txn: Txn| {
            for (destination, edu) in &rows {
                txn.append(EDU_QUEUE.end(destination.as_str()), txn.slot(), edu);
            }
            async move { Ok::<_, StoreError>(()) }
        });
        queued.await?;
        for (destination, _) in &rows {
            self.0.schedule.queued(destination, 0);
        }
        Ok(())
    }

    /// Sends an EDU that may be lost: presence. A later one with the same key replaces one that
    /// has not been sent; to a server that does not answer, none is sent.
    pub fn send_ephemeral(&self, destination: &ServerName, key: String, edu: Box<RawValue>) {
        if destination != self.0.needs.federation.server_name() {
            self.0.schedule.ephemeral(destination, key, edu);
        }
    }

    /// Whether anything waits to be sent to a server.
    pub async fn is_idle(&self, destination: &ServerName) -> Result<bool, StoreError> {
        let db = self.rooms().snapshot().await?;
        let has_events = db.first(QUEUE.under(destination.as_str())).await?.is_some();
        let has_edus = db
            .first(EDU_QUEUE.under(destination.as_str()))
            .await?
            .is_some();
        let marks = crate::tables::CATCH_UP.under(destination.as_str());
        Ok(!has_events && !has_edus && db.first(marks).await?.is_none())
    }
}
