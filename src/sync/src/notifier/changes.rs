//! When rooms and users last changed, as far as memory holds it.
//!
//! What has no entry has not changed since the **floor**: at start the map is empty and the floor is the stamp of that
//! moment; dropping entries raises the floor to the newest of them. Only a token below the floor asks the disk.

use std::{collections::HashMap, hash::Hash, sync::RwLock};

use database::Stamp;

/// Whether something changed after a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    No,
    Yes,
    /// The stamp lies below the floor: the disk knows.
    Unknown,
}

/// Owner: the notifier. Bound: a count of entries. Written only by the follower and by readers who asked the disk.
pub(crate) struct Changes<K> {
    state: RwLock<State<K>>,
    bound: usize,
}

struct State<K> {
    at: HashMap<K, Stamp>,
    floor: Stamp,
    /// The newest of all changes, or the first floor.
    newest: Stamp,
}

impl<K: Copy + Eq + Hash> Changes<K> {
    /// Nothing is known of what lies below `floor`.
    pub(crate) fn new(floor: Stamp, bound: usize) -> Self {
        Self {
            state: RwLock::new(State {
                at: HashMap::new(),
                floor,
                newest: floor,
            }),
            bound,
        }
    }

    /// `key` changed at `stamp`, or, as the disk says, last changed then.
    pub(crate) fn note(&self, key: K, stamp: Stamp) {
        let mut state = self
            .state
            .write()
            .expect("nothing panics while it holds this lock");
        let at = state.at.entry(key).or_insert(stamp);
        *at = (*at).max(stamp);
        state.newest = state.newest.max(stamp);
        if state.at.len() > self.bound {
            state.drop_older_half();
        }
    }

    pub(crate) fn changed_after(&self, key: K, since: Stamp) -> Changed {
        self.read(|look| look(key, since))
    }

    /// Whether anything may have changed after a stamp.
    pub(crate) fn any_changed_after(&self, since: Stamp) -> bool {
        self.state
            .read()
            .expect("nothing panics while it holds this lock")
            .newest
            > since
    }

    /// Asks for many keys at the cost of one lock.
    pub(crate) fn read<T>(&self, ask: impl FnOnce(&dyn Fn(K, Stamp) -> Changed) -> T) -> T {
        let state = self
            .state
            .read()
            .expect("nothing panics while it holds this lock");
        ask(&|key, since| match state.at.get(&key) {
            Some(at) if *at > since => Changed::Yes,
            Some(_) => Changed::No,
            None if since >= state.floor => Changed::No,
            None => Changed::Unknown,
        })
    }
}

impl<K: Copy + Eq + Hash> State<K> {
    fn drop_older_half(&mut self) {
        let mut stamps: Vec<Stamp> = self.at.values().copied().collect();
        let middle = stamps.len() / 2;
        let (_, median, _) = stamps.select_nth_unstable(middle);
        let median = *median;
        self.at.retain(|_, at| *at > median);
        self.floor = self.floor.max(median);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_entry_has_not_changed_since_the_floor() {
        let changes = Changes::new(Stamp(100), 10);
        changes.note(1_u64, Stamp(110));
        assert_eq!(changes.changed_after(1, Stamp(109)), Changed::Yes);
        assert_eq!(changes.changed_after(1, Stamp(110)), Changed::No);
        assert_eq!(changes.changed_after(2, Stamp(100)), Changed::No);
        assert_eq!(changes.changed_after(2, Stamp(99)), Changed::Unknown);
    }

    #[test]
    fn an_older_stamp_from_disk_does_not_hide_a_newer_one() {
        let changes = Changes::new(Stamp(100), 10);
        changes.note(1_u64, Stamp(110));
        changes.note(1, Stamp(50));
        assert_eq!(changes.changed_after(1, Stamp(105)), Changed::Yes);
    }

    #[test]
    fn dropped_entries_raise_the_floor() {
        let changes = Changes::new(Stamp(0), 10);
        for key in 1..=11_u64 {
            changes.note(key, Stamp(key));
        }
        assert_eq!(changes.changed_after(1, Stamp(0)), Changed::Unknown);
        assert_eq!(changes.changed_after(11, Stamp(10)), Changed::Yes);
        assert_eq!(changes.changed_after(1, Stamp(11)), Changed::No);
    }
}
