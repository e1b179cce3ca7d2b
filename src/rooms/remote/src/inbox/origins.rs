//! One at a time for each server (or room), with a bound on how many wait.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use ruma::OwnedServerName;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

type Locks<K> = HashMap<K, Arc<AsyncMutex<()>>>;

/// A lock for each key that somebody is at.
pub(crate) struct Origins<K: Hash + Eq + Clone = OwnedServerName>(Arc<Mutex<Locks<K>>>);

/// The turn of one. The next one has it when it is dropped.
pub(crate) struct Turn<K: Hash + Eq + Clone = OwnedServerName> {
    locks: Arc<Mutex<Locks<K>>>,
    key: K,
    lock: Option<Arc<AsyncMutex<()>>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl<K: Hash + Eq + Clone> Origins<K> {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// Waits for the turn; `None` if more than `most` wait already.
    pub(crate) async fn enter(&self, key: K, most: usize) -> Option<Turn<K>> {
        let own = {
            let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let own = locks.entry(key.clone()).or_default();
            // The map has one reference, and each turn two, also while it waits.
            if Arc::strong_count(own) > most.saturating_mul(2).saturating_add(2) {
                return None;
            }
            own.clone()
        };
        let mut turn = Turn {
            locks: self.0.clone(),
            key,
            lock: Some(own.clone()),
            held: None,
        };
        turn.held = Some(own.lock_owned().await);
        Some(turn)
    }
}

impl<K: Hash + Eq + Clone> Drop for Turn<K> {
    fn drop(&mut self) {
        self.held = None;
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        self.lock = None;
        if locks
            .get(&self.key)
            .is_some_and(|own| Arc::strong_count(own) == 1)
        {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_has_the_turn_and_few_wait() {
        let origins = Origins::<u32>::new();
        let first = origins.enter(1, 1).await.expect("nobody waits");
        let mut second = Box::pin(origins.enter(1, 1));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(origins.enter(1, 1).await.is_none(), "one waits already");
        assert!(origins.enter(2, 1).await.is_some(), "others do not wait");
        drop(first);
        assert!(second.await.is_some());
        assert!(origins.0.lock().expect("not poisoned").is_empty());
    }
}
