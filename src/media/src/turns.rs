//! Locks by key, in a fixed number of stripes.

use std::{
    hash::{BuildHasher as _, Hash, RandomState},
    sync::Arc,
};

use tokio::sync::{Mutex, OwnedMutexGuard};

const STRIPES: usize = 256;

/// Those who change the same thing go one after the other.
pub(crate) struct Turns {
    stripes: Vec<Arc<Mutex<()>>>,
    hasher: RandomState,
}

/// Held as long as the turn lasts.
pub(crate) type Turn = OwnedMutexGuard<()>;

impl Turns {
    pub(crate) fn new() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Arc::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(crate) async fn take(&self, key: impl Hash) -> Turn {
        let hash = self.hasher.hash_one(key) % STRIPES as u64;
        let stripe = usize::try_from(hash).expect("a remainder of 256");
        self.stripes[stripe].clone().lock_owned().await
    }
}
