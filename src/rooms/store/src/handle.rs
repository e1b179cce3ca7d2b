//! The handle on stored rooms, shared by everything that reads or writes them.

use std::sync::Arc;

use database::{Snapshot, Store, StoreError};
use ruma::{OwnedServerName, ServerName};
use users::Users;

use crate::{event_cache::EventCache, numbers::Numbers, state_map::StateMaps};

/// Sizes of the caches, and the name under which local users are known.
#[derive(Clone, Debug)]
pub struct RoomStoreConfig {
    pub server_name: OwnedServerName,
    /// Bytes of memory for recently used events.
    pub event_cache_bytes: u64,
    /// Bytes of memory for nodes of room states.
    pub node_cache_bytes: u64,
}

impl RoomStoreConfig {
    pub fn new(server_name: OwnedServerName) -> Self {
        Self {
            server_name,
            event_cache_bytes: 16 << 20,
            node_cache_bytes: 16 << 20,
        }
    }
}

/// The stored rooms of this server. Cheap to clone.
#[derive(Clone)]
pub struct RoomStore(Arc<Inner>);

struct Inner {
    store: Store,
    users: Users,
    server_name: OwnedServerName,
    numbers: Numbers,
    events: EventCache,
    states: StateMaps,
}

impl RoomStore {
    pub fn open(store: Store, users: Users, config: RoomStoreConfig) -> Self {
        Self(Arc::new(Inner {
            numbers: Numbers::open(&store, users.clone()),
            events: EventCache::new(config.event_cache_bytes),
            states: StateMaps::new(config.node_cache_bytes),
            store,
            users,
            server_name: config.server_name,
        }))
    }

    /// The newest committed data.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.0.store.snapshot().await
    }

    pub fn store(&self) -> &Store {
        &self.0.store
    }

    pub fn users(&self) -> &Users {
        &self.0.users
    }

    pub fn server_name(&self) -> &ServerName {
        &self.0.server_name
    }

    pub fn numbers(&self) -> &Numbers {
        &self.0.numbers
    }

    /// The states of all rooms.
    pub fn states(&self) -> &StateMaps {
        &self.0.states
    }

    /// Recently used events.
    pub fn events(&self) -> &EventCache {
        &self.0.events
    }
}
