//! A bounded cache that never returns a value that a commit has changed.
//!
//! A reader inserts a row with the stamp of its snapshot; a writer invalidates it with the stamp of
//! its commit. An insertion that is older than the last invalidation (of the same shard) is
//! ignored, so a slow reader cannot bring back a stale value. Each shard has a younger and an older
//! half. When the younger one is full, it replaces the older one, whose entries are evicted.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hash},
    sync::{Mutex, MutexGuard, PoisonError},
};

use database::Stamp;

const SHARDS: usize = 16;

pub(crate) struct Cache<K, V> {
    shards: [Mutex<Shard<K, V>>; SHARDS],
    hasher: RandomState,
    /// Entries of one half of one shard.
    half: usize,
}

struct Shard<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    /// The newest commit that invalidated an entry of this shard.
    changed: Stamp,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// At most `entries` entries, but at least two per shard.
    pub(crate) fn new(entries: usize) -> Self {
        let shard = || Shard {
            young: HashMap::new(),
            old: HashMap::new(),
            changed: Stamp(0),
        };
        Self {
            shards: std::array::from_fn(|_| Mutex::new(shard())),
            hasher: RandomState::new(),
            half: (entries / SHARDS / 2).max(1),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let mut shard = self.shard(key);
        if let Some(value) = shard.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = shard.old.remove_entry(key)?;
        shard.keep(key, value.clone(), self.half);
        Some(value)
    }

    /// Inserts a value from a snapshot of `read_at`, unless an entry was invalidated since.
    pub(crate) fn offer(&self, key: K, value: V, read_at: Stamp) {
        let mut shard = self.shard(&key);
        if read_at >= shard.changed {
            shard.old.remove(&key);
            shard.keep(key, value, self.half);
        }
    }

    /// Invalidates an entry that the commit of `changed_at` changed. Call it after the commit is
    /// visible.
    pub(crate) fn remove(&self, key: &K, changed_at: Stamp) {
        let mut shard = self.shard(key);
        shard.changed = shard.changed.max(changed_at);
        shard.young.remove(key);
        shard.old.remove(key);
    }

    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Shard<K, V> {
    fn keep(&mut self, key: K, value: V, half: usize) {
        if self.young.len() >= half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_removal_is_not_kept() {
        let cache = Cache::new(64);
        cache.remove(&7, Stamp(5));
        cache.offer(7, "old", Stamp(4));
        assert_eq!(cache.get(&7), None);
        cache.offer(7, "new", Stamp(5));
        assert_eq!(cache.get(&7), Some("new"));
    }

    #[test]
    fn a_removed_entry_is_gone_from_both_halves() {
        let cache = Cache::new(SHARDS * 2);
        for key in 0..64 {
            cache.offer(key, key, Stamp(1));
        }
        for key in 0..64 {
            cache.remove(&key, Stamp(2));
            assert_eq!(cache.get(&key), None);
        }
    }

    #[test]
    fn it_never_holds_more_than_its_bound() {
        let cache = Cache::new(64);
        for key in 0..10_000 {
            cache.offer(key, key, Stamp(1));
        }
        assert!((0..10_000).filter(|key| cache.get(key).is_some()).count() <= 64);
    }

    #[test]
    fn what_is_used_stays() {
        let cache = Cache::new(256);
        cache.offer(0, 0, Stamp(1));
        for key in 1..10_000 {
            cache.offer(key, key, Stamp(1));
            assert_eq!(cache.get(&0), Some(0));
        }
    }
}
