//! Randomness from a seed that is printed, so that a failing run can be repeated.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// SplitMix64.
pub(crate) struct Chance(u64);

impl Chance {
    /// From `DURABILITY_SEED`, or else a random seed.
    pub(crate) fn new(test: &str) -> Self {
        let seed = match std::env::var("DURABILITY_SEED") {
            Ok(seed) => seed.parse().expect("DURABILITY_SEED is a number"),
            Err(_) => RandomState::new().hash_one(test),
        };
        println!("{test}: DURABILITY_SEED={seed}");
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A count that a variable can override.
pub(crate) fn count_from(variable: &str, default: usize) -> usize {
    match std::env::var(variable) {
        Ok(count) => count.parse().expect("the variable is a count"),
        Err(_) => default,
    }
}
