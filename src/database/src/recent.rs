//! What was written lately, to find out whether a commit's reads still hold.
//!
//! Bounded in bytes: a commit that read before the oldest one remembered is a conflict.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    hash::{BuildHasher, RandomState},
};

use crate::{
    engine::{Address, Commit, Span},
    stamp::Stamp,
};

/// The window of remembered commits, for one committer.
pub struct Recent {
    /// Commits up to this one are forgotten.
    floor: Stamp,
    limit: usize,
    held: usize,
    /// Newest write of each row, by the hash of its address: two rows that share one can only
    /// make a conflict too many.
    points: HashMap<u64, Stamp>,
    tables: HashMap<&'static str, Stamp>,
    past: VecDeque<Past>,
    clears: VecDeque<(Stamp, Span)>,
    hasher: RandomState,
}

struct Past {
    stamp: Stamp,
    /// Sorted.
    keys: Vec<Address>,
    hashes: Vec<u64>,
    bytes: usize,
}

impl Recent {
    /// `floor` is the newest commit that is not remembered; `limit` is in bytes.
    pub fn new(floor: Stamp, limit: usize) -> Self {
        Self {
            floor,
            limit,
            held: 0,
            points: HashMap::new(),
            tables: HashMap::new(),
            past: VecDeque::new(),
            clears: VecDeque::new(),
            hasher: RandomState::new(),
        }
    }

    /// Whether something that `commit` read has changed since, or may have.
    pub fn conflicts_with(&self, commit: &Commit) -> bool {
        if commit.points.is_empty() && commit.spans.is_empty() {
            return false;
        }
        commit.since < self.floor
            || commit.points.iter().any(|at| self.has_changed(at, commit.since))
            || commit.spans.iter().any(|span| self.has_changed_within(span, commit.since))
    }

    fn has_changed(&self, at: &Address, since: Stamp) -> bool {
        let hash = self.hasher.hash_one(at);
        self.points.get(&hash).is_some_and(|stamp| *stamp > since)
            || self.clears_after(since).any(|clear| clear.holds(at.table, &at.key))
    }

    fn has_changed_within(&self, span: &Span, since: Stamp) -> bool {
        if self.tables.get(span.table).is_none_or(|stamp| *stamp <= since) {
            return false;
        }
        let later = self.past.iter().rev().take_while(|past| past.stamp > since);
        later.into_iter().any(|past| past.has_key_in(span))
            || self.clears_after(since).any(|clear| clear.overlaps(span))
    }

    fn clears_after(&self, since: Stamp) -> impl Iterator<Item = &Span> {
        self.clears.iter().rev().take_while(move |(at, _)| *at > since).map(|(_, span)| span)
    }

    /// Takes in a commit that was accepted. Stamps only ever grow.
    pub fn remember(&mut self, stamp: Stamp, mut keys: Vec<Address>, clears: Vec<Span>) {
        keys.sort_unstable();
        let hashes: Vec<u64> = keys.iter().map(|at| self.hasher.hash_one(at)).collect();
        for (at, hash) in keys.iter().zip(&hashes) {
            self.points.insert(*hash, stamp);
            self.tables.insert(at.table, stamp);
        }
        // An address, its allocation, its hash and its share of the map.
        let bytes = keys.iter().map(|at| at.key.capacity() + 96).sum::<usize>() + 96;
        self.past.push_back(Past { stamp, keys, hashes, bytes });
        self.held += bytes;
        for span in clears {
            self.tables.insert(span.table, stamp);
            self.held += clear_bytes(&span);
            self.clears.push_back((stamp, span));
        }
        while self.held > self.limit
            && let Some(past) = self.past.pop_front()
        {
            self.forget(past);
        }
    }

    fn forget(&mut self, past: Past) {
        self.floor = past.stamp;
        self.held -= past.bytes;
        for hash in past.hashes {
            if let Entry::Occupied(entry) = self.points.entry(hash)
                && *entry.get() == past.stamp
            {
                entry.remove();
            }
        }
        while let Some((stamp, span)) = self.clears.front()
            && *stamp <= past.stamp
        {
            self.held -= clear_bytes(span);
            self.clears.pop_front();
        }
    }
}

impl Past {
    fn has_key_in(&self, span: &Span) -> bool {
        let start = self
            .keys
            .partition_point(|at| (at.table, at.key.as_slice()) < (span.table, &span.from));
        self.keys.get(start).is_some_and(|at| span.holds(at.table, &at.key))
    }
}

fn clear_bytes(span: &Span) -> usize {
    96 + span.from.len() + span.to.as_ref().map_or(0, Vec::len)
}
