//! The rows written by recent commits, for finding out whether a commit's reads still hold.
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
    /// Commits up to this one are not remembered.
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

    /// Whether a row that `commit` read has changed since, or may have.
    pub fn conflicts_with(&self, commit: &Commit) -> bool {
        if commit.points.is_empty() && commit.spans.is_empty() {
            return false;
        }
        !self.reaches_back_to(commit.since)
            || commit
                .points
                .iter()
                .any(|at| self.has_changed(at, commit.since))
            || commit
                .spans
                .iter()
                .any(|span| self.has_changed_within(span, commit.since))
    }

    fn has_changed(&self, at: &Address, since: Stamp) -> bool {
        let hash = self.hasher.hash_one(at);
        self.points.get(&hash).is_some_and(|stamp| *stamp > since)
            || self
                .clears_after(since)
                .any(|clear| clear.holds(at.table, &at.key))
    }

    fn has_changed_within(&self, span: &Span, since: Stamp) -> bool {
        if self
            .tables
            .get(span.table)
            .is_none_or(|stamp| *stamp <= since)
        {
            return false;
        }
        self.keys_within(span, since).next().is_some()
            || self.clears_after(since).any(|clear| clear.overlaps(span))
    }

    /// Whether all commits after this one are still remembered.
    pub fn reaches_back_to(&self, stamp: Stamp) -> bool {
        stamp >= self.floor
    }

    /// The rows that commits after `since` have written there.
    pub fn keys_within(&self, span: &Span, since: Stamp) -> impl Iterator<Item = &Address> {
        let later = self
            .past
            .iter()
            .rev()
            .take_while(move |past| past.stamp > since);
        later.flat_map(|past| past.keys_in(span))
    }

    fn clears_after(&self, since: Stamp) -> impl Iterator<Item = &Span> {
        self.clears
            .iter()
            .rev()
            .take_while(move |(at, _)| *at > since)
            .map(|(_, span)| span)
    }

    /// Adds an accepted commit. Stamps only ever grow.
    pub fn remember(&mut self, stamp: Stamp, mut keys: Vec<Address>, clears: Vec<Span>) {
        keys.sort_unstable();
        let hashes: Vec<u64> = keys.iter().map(|at| self.hasher.hash_one(at)).collect();
        for (at, hash) in keys.iter().zip(&hashes) {
            self.points.insert(*hash, stamp);
            self.tables.insert(at.table, stamp);
        }
        // An address, its allocation, its hash and its share of the map.
        let bytes = keys.iter().map(|at| at.key.capacity() + 96).sum::<usize>() + 96;
        self.past.push_back(Past {
            stamp,
            keys,
            hashes,
            bytes,
        });
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
    fn keys_in(&self, span: &Span) -> impl Iterator<Item = &Address> {
        let first = (span.table, span.from.as_slice());
        let start = self
            .keys
            .partition_point(|at| (at.table, at.key.as_slice()) < first);
        self.keys[start..]
            .iter()
            .take_while(|at| span.holds(at.table, &at.key))
    }
}

fn clear_bytes(span: &Span) -> usize {
    96 + span.from.len() + span.to.as_ref().map_or(0, Vec::len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Durability;

    fn at(key: u8) -> Address {
        Address {
            table: "t",
            key: vec![key],
        }
    }

    fn span(from: u8, to: u8) -> Span {
        Span {
            table: "t",
            from: vec![from],
            to: Some(vec![to]),
        }
    }

    fn reading(since: u64, points: &[u8], spans: &[(u8, u8)]) -> Commit {
        Commit {
            since: Stamp(since),
            points: points.iter().map(|key| at(*key)).collect(),
            spans: spans.iter().map(|(from, to)| span(*from, *to)).collect(),
            clears: Vec::new(),
            writes: Vec::new(),
            durability: Durability::Now,
        }
    }

    #[test]
    fn only_later_writes_conflict() {
        let mut recent = Recent::new(Stamp(10), 1 << 20);
        recent.remember(Stamp(11), vec![at(5), at(1)], Vec::new());
        recent.remember(Stamp(12), vec![at(9)], vec![span(20, 30)]);
        for (conflicts, since, points, spans) in [
            (true, 10, &[5][..], &[][..]),
            (false, 11, &[5], &[]),
            (true, 11, &[5, 9], &[]),
            (false, 10, &[2], &[(2, 5), (6, 9), (10, 20)]),
            (true, 10, &[], &[(2, 6)]),
            (false, 11, &[], &[(2, 6)]),
            (true, 11, &[25], &[]),
            (true, 11, &[], &[(29, 40)]),
            (false, 11, &[30], &[(30, 40)]),
            (false, 12, &[5, 9, 25], &[(0, 255)]),
            (true, 9, &[2], &[]),
            (false, 9, &[], &[]),
        ] {
            let found = recent.conflicts_with(&reading(since, points, spans));
            assert_eq!(found, conflicts, "since {since}: {points:?} {spans:?}");
        }
        let span = span(0, 10);
        let later: Vec<_> = recent.keys_within(&span, Stamp(11)).collect();
        assert_eq!(later, [&at(9)]);
    }

    #[test]
    fn what_is_held_stays_bounded_and_the_rest_is_forgotten() {
        let mut recent = Recent::new(Stamp(0), 4096);
        for stamp in 1..=1000 {
            let key = u8::try_from(stamp % 7).expect("small");
            recent.remember(Stamp(stamp), vec![at(key)], vec![span(100, 101)]);
        }
        assert!(recent.held <= 4096);
        assert!(recent.past.len() < 40 && recent.points.len() <= 7 && recent.clears.len() < 40);
        assert!(recent.conflicts_with(&reading(900, &[50], &[])));
        assert!(!recent.conflicts_with(&reading(999, &[50], &[])));
        assert!(recent.conflicts_with(&reading(993, &[1], &[])));
    }
}
