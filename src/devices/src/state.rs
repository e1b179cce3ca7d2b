//! The state of a device that every `/sync` contains, from a cache while nothing has changed.
//!
//! An entry contains the values of the rows at some stamp. Every commit that changes those rows
//! announces `Concern::User` of the owner, so an entry that is at least as new as the owner's last
//! change is current and needs no invalidation.

use std::{collections::BTreeMap, sync::Arc};

use database::{Position, Read, Stamp, StoreError, UserNumber};
use quick_cache::{Equivalent, Weighter, sync::Cache};

use crate::{
    handle::Devices,
    keys::{FALLBACK_KEYS, KEY_COUNTS, SIGNED_CURVE25519},
    to_device::INBOX,
};

/// Algorithms that one device can have keys for.
pub(crate) const MOST_ALGORITHMS: usize = 16;

/// The state of a device in `/sync`, and the start of its inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceState {
    /// Unclaimed one-time keys by algorithm: `device_one_time_keys_count`.
    pub one_time_keys: BTreeMap<String, u64>,
    /// Algorithms whose fallback key is unused: `device_unused_fallback_key_types`.
    pub unused_fallback_keys: Vec<String>,
    /// The first message in the device's inbox, acknowledged or not.
    pub oldest_message: Option<Position>,
    as_of: Stamp,
}

/// Owner: the handle. Bound: bytes. Not invalidated, see above.
pub(crate) struct StateCache(Cache<DeviceName, Arc<DeviceState>, Weigh>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct DeviceName {
    user: UserNumber,
    device: Box<str>,
}

#[derive(Hash)]
struct DeviceRef<'a> {
    user: UserNumber,
    device: &'a str,
}

impl Equivalent<DeviceName> for DeviceRef<'_> {
    fn equivalent(&self, name: &DeviceName) -> bool {
        self.user == name.user && *self.device == *name.device
    }
}

#[derive(Clone)]
struct Weigh;

impl Weighter<DeviceName, Arc<DeviceState>> for Weigh {
    fn weight(&self, name: &DeviceName, state: &Arc<DeviceState>) -> u64 {
        let algorithms = state.one_time_keys.len() + state.unused_fallback_keys.len();
        (USUAL_BYTES + name.device.len() + 64 * algorithms) as u64
    }
}

const USUAL_BYTES: usize = 200;

impl StateCache {
    pub(crate) fn new(bytes: u64) -> Self {
        let entries = usize::try_from(bytes).unwrap_or(usize::MAX) / (USUAL_BYTES + 128);
        Self(Cache::with_weighter(entries, bytes, Weigh))
    }

    pub(crate) fn remove(&self, user: UserNumber, device: &str) {
        self.0.remove(&DeviceRef { user, device });
    }
}

impl Devices {
    /// `is_unchanged` returns whether nothing of the user has changed after a stamp. If that holds
    /// for a cached entry, the database is not read.
    pub async fn state(
        &self,
        db: &impl Read,
        user: UserNumber,
        device: &str,
        is_unchanged: impl Fn(Stamp) -> bool + Send,
    ) -> Result<Arc<DeviceState>, StoreError> {
        let cache = &self.0.states.0;
        if let Some(state) = cache.get(&DeviceRef { user, device })
            && is_unchanged(state.as_of)
        {
            return Ok(state);
        }
        let state = Arc::new(read(db, user, device).await?);
        cache.insert(
            DeviceName {
                user,
                device: device.into(),
            },
            state.clone(),
        );
        Ok(state)
    }
}

async fn read(db: &impl Read, user: UserNumber, device: &str) -> Result<DeviceState, StoreError> {
    let counts = db
        .get(KEY_COUNTS.at((user, device)))
        .await?
        .unwrap_or_default();
    let mut one_time_keys = counts.unclaimed;
    // Some clients interpret its absence as a server without keys.
    one_time_keys
        .entry(SIGNED_CURVE25519.to_owned())
        .or_default();
    let fallback = db
        .page(FALLBACK_KEYS.under((user, device)), MOST_ALGORITHMS)
        .await?;
    let unused = fallback.into_iter().filter(|(_, key)| !key.is_used);
    let first = db.page(INBOX.under((user, device)), 1).await?;
    Ok(DeviceState {
        one_time_keys,
        unused_fallback_keys: unused.map(|((_, _, algorithm), _)| algorithm).collect(),
        oldest_message: first.first().map(|((_, _, position), _)| *position),
        as_of: db.stamp(),
    })
}
