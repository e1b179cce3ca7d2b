//! The handle through which rooms are changed.

use std::sync::{Arc, atomic::AtomicU64};

use database::{Clock, Random};
use federation::Keys;
use rooms_store::RoomStore;
use ruma::RoomVersionId;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{registry::Registry, typing::Typing};

/// What the operator decides about writing to rooms.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    /// The version of rooms whose creator asks for none.
    pub default_version: RoomVersionId,
    pub mailbox: MailboxLimits,
    pub relations: RelationLimits,
}

/// What is indexed of relations; an event beyond a limit is sent, but neither listed nor aggregated.
#[derive(Clone, Copy, Debug)]
pub struct RelationLimits {
    /// Children of one event.
    pub per_event: u64,
    /// Threads of one room.
    pub threads_per_room: u64,
}

impl Default for RelationLimits {
    fn default() -> Self {
        Self {
            per_event: 100_000,
            threads_per_room: 100_000,
        }
    }
}

/// What may wait for the writer of one room; beyond it, clients are asked to retry later.
#[derive(Clone, Copy, Debug)]
pub struct MailboxLimits {
    /// Events, and changes that become events.
    pub intents: usize,
    /// Bytes of their content.
    pub bytes: usize,
}

impl Default for MailboxLimits {
    fn default() -> Self {
        Self {
            intents: 512,
            bytes: 8 << 20,
        }
    }
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self {
            default_version: RoomVersionId::V12,
            mailbox: MailboxLimits::default(),
            relations: RelationLimits::default(),
        }
    }
}

/// Changes rooms on behalf of local users. Cheap to clone.
#[derive(Clone)]
pub struct RoomWriter {
    pub(crate) rooms: RoomStore,
    pub(crate) shared: Arc<Shared>,
}

/// What all clones of the handle share.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) keys: Keys,
    pub(crate) config: WriterConfig,
    pub(crate) registry: Registry,
    /// Numbers the calls that receive events.
    pub(crate) lanes: AtomicU64,
    pub(crate) typing: Typing,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl RoomWriter {
    /// Builds the handle without its background tasks.
    pub(crate) fn new(rooms: RoomStore, shared: Shared) -> Self {
        Self {
            rooms,
            shared: Arc::new(shared),
        }
    }

    /// The stored rooms.
    pub fn rooms(&self) -> &RoomStore {
        &self.rooms
    }

    pub fn config(&self) -> &WriterConfig {
        &self.shared.config
    }

    /// Who is typing where.
    pub fn typing(&self) -> &Typing {
        &self.shared.typing
    }
}
