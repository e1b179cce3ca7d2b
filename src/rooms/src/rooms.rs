//! The handle that everyone above holds.

use std::sync::Arc;

use database::{Clock, Random, Snapshot, Store, StoreError};
use federation::Keys;
use ruma::{OwnedServerName, RoomVersionId, ServerName};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::Users;

use crate::{
    event_cache::EventCache, numbers::Numbers, state_map::StateMaps, typing::Typing,
    writer::Registry,
};

/// What the operator decides about rooms.
#[derive(Clone, Debug)]
pub struct RoomsConfig {
    pub server_name: OwnedServerName,
    /// The version of rooms whose creator asks for none.
    pub default_version: RoomVersionId,
    /// Bytes of memory for recently used events.
    pub event_cache_bytes: u64,
    /// Bytes of memory for nodes of room states.
    pub node_cache_bytes: u64,
    pub mailbox: MailboxLimits,
}

/// What may wait for the writer of one room; who comes on top is told to come back.
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

impl RoomsConfig {
    pub fn new(server_name: OwnedServerName) -> Self {
        Self {
            server_name,
            default_version: RoomVersionId::V12,
            event_cache_bytes: 16 << 20,
            node_cache_bytes: 16 << 20,
            mailbox: MailboxLimits::default(),
        }
    }
}

/// All rooms of this server. Cheap to clone.
#[derive(Clone)]
pub struct Rooms(pub(crate) Arc<Parts>);

/// What rooms are made of.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) users: Users,
    pub(crate) keys: Keys,
    pub(crate) config: RoomsConfig,
    pub(crate) numbers: Numbers,
    pub(crate) events: EventCache,
    pub(crate) states: StateMaps,
    pub(crate) writers: Registry,
    pub(crate) typing: Typing,
    pub(crate) tasks: TaskTracker,
    pub(crate) stop: CancellationToken,
}

impl Rooms {
    #[expect(
        clippy::too_many_arguments,
        reason = "a part is built once, from exactly what it needs"
    )]
    pub fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        users: Users,
        keys: Keys,
        config: RoomsConfig,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Self {
        let numbers = Numbers::open(&store, users.clone());
        let rooms = Self(Arc::new(Parts {
            numbers,
            events: EventCache::new(config.event_cache_bytes),
            states: StateMaps::new(config.node_cache_bytes),
            writers: Registry::new(config.mailbox),
            typing: Typing::new(clock.clone(), &*random),
            store,
            clock,
            random,
            users,
            keys,
            config,
            tasks,
            stop,
        }));
        crate::follow::start(&rooms);
        crate::transactions::start(&rooms);
        crate::typing::start(&rooms);
        rooms
    }

    /// What is on disk now.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.0.store.snapshot().await
    }

    pub fn server_name(&self) -> &ServerName {
        &self.0.config.server_name
    }

    pub fn config(&self) -> &RoomsConfig {
        &self.0.config
    }

    pub fn users(&self) -> &Users {
        &self.0.users
    }

    pub fn numbers(&self) -> &Numbers {
        &self.0.numbers
    }

    /// The states of all rooms.
    pub fn states(&self) -> &StateMaps {
        &self.0.states
    }

    pub fn store(&self) -> &Store {
        &self.0.store
    }

    pub fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }
}
