//! The handle for keys, messages to devices and key backups.
//!
//! Creating and deleting devices needs no handle: `users` does it in its own commits (see
//! `device`).

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use database::{Clock, Store, UserNumber};
use tokio::sync::{Mutex, MutexGuard};

use crate::{state::StateCache, to_device::Tallies};

/// Limits of what a device can store.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Unclaimed one-time keys of one device, of all algorithms.
    pub one_time_keys: u64,
    /// Bytes of one published key or signature object.
    pub key_bytes: usize,
    /// Messages that wait for one device; beyond that, the oldest are dropped and counted.
    pub inbox_messages: u64,
    /// Bytes of the messages that wait for one device.
    pub inbox_bytes: u64,
    /// Bytes of the content of one message.
    pub message_bytes: usize,
    /// Devices that one request sends to.
    pub recipients: usize,
    /// Bytes that one request puts into inboxes, counted for each device.
    pub request_bytes: usize,
    /// Backups of one user.
    pub backups: u64,
    /// Sessions in one backup.
    pub backup_sessions: u64,
    /// Bytes of one backed-up session.
    pub session_bytes: usize,
    /// Bytes of memory for the states of devices.
    pub cache_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            one_time_keys: 2_000,
            key_bytes: 64 * 1024,
            inbox_messages: 10_000,
            inbox_bytes: 64 * 1024 * 1024,
            message_bytes: 64 * 1024,
            recipients: 10_000,
            request_bytes: 32 * 1024 * 1024,
            backups: 100,
            backup_sessions: 1_000_000,
            session_bytes: 64 * 1024,
            cache_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Keys, messages and backups of the devices of this server. Cheap to clone.
#[derive(Clone)]
pub struct Devices(pub(crate) Arc<Parts>);

pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) turns: Turns,
    pub(crate) states: StateCache,
    pub(crate) tallies: Tallies,
}

impl Devices {
    pub fn new(store: Store, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self(Arc::new(Parts {
            turns: Turns::new(),
            states: StateCache::new(limits.cache_bytes),
            tallies: Tallies::default(),
            store,
            clock,
            limits,
        }))
    }

    pub fn store(&self) -> &Store {
        &self.0.store
    }

    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }
}

/// Serializes changes of the one-time keys of one device: all of them need the same first row, and
/// would otherwise conflict and retry. The transaction, not this lock, guarantees that a key is
/// returned only once.
pub(crate) struct Turns {
    stripes: Vec<Mutex<()>>,
    hasher: RandomState,
}

impl Turns {
    const STRIPES: usize = 256;

    fn new() -> Self {
        let stripes = (0..Self::STRIPES).map(|_| Mutex::default()).collect();
        Self {
            stripes,
            hasher: RandomState::new(),
        }
    }

    /// Locks the one-time keys of these devices. Stripes are locked in order, so two callers cannot
    /// deadlock.
    pub(crate) async fn take<'a>(
        &self,
        devices: impl Iterator<Item = (UserNumber, &'a str)>,
    ) -> Vec<MutexGuard<'_, ()>> {
        let mut wanted: Vec<usize> = devices.map(|device| self.stripe(device)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut guards = Vec::with_capacity(wanted.len());
        for stripe in wanted {
            guards.push(self.stripes[stripe].lock().await);
        }
        guards
    }

    fn stripe(&self, device: (UserNumber, &str)) -> usize {
        let hash = self.hasher.hash_one(device);
        usize::try_from(hash % Self::STRIPES as u64).expect("a remainder of 256")
    }
}
