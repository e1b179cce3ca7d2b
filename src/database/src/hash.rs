//! Hash maps whose order can be observed (they are iterated, or printed).
//!
//! The order of `std`'s maps comes from a hidden seed of each process, so a simulation that
//! iterates one does not repeat. These maps are made from a [`Seed`], which comes from the injected
//! [`Random`]: unpredictable for those who choose the keys, repeatable in tests. There is no
//! `Default`, so that no map is made without a seed; a map that is only ever asked for keys may
//! as well be `std`'s, and where order matters to the reader a `BTreeMap` is better.
//!
//! ```
//! use database::{SeededRandom, hash::{HashMap, Seed}};
//!
//! let seed = Seed::new(&SeededRandom::new(1));
//! let mut ages: HashMap<&str, u32> = HashMap::with_hasher(seed);
//! ages.insert("alice", 30);
//! ```

use std::hash::{BuildHasher, DefaultHasher, Hasher as _};

use crate::random::Random;

pub type HashMap<K, V> = std::collections::HashMap<K, V, Seed>;
pub type HashSet<K> = std::collections::HashSet<K, Seed>;

/// Makes the hashers of a map. Equal seeds give equal orders of equal histories. Cheap to copy:
/// one seed may serve all maps of a part.
#[derive(Clone, Copy)]
pub struct Seed([u64; 2]);

impl Seed {
    pub fn new(random: &dyn Random) -> Self {
        Self([random.u64(), random.u64()])
    }
}

impl std::fmt::Debug for Seed {
    /// Keeps the secret that protects maps against chosen keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}

impl BuildHasher for Seed {
    type Hasher = DefaultHasher;

    /// SipHash whose state is unknown to those who do not know the seed.
    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0[0]);
        hasher.write_u64(self.0[1]);
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededRandom;

    fn order(seed: u64) -> Vec<u32> {
        let mut map = HashMap::with_hasher(Seed::new(&SeededRandom::new(seed)));
        map.extend((0..100).map(|key| (key, key)));
        map.into_keys().collect()
    }

    #[test]
    fn a_seed_fixes_the_order() {
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn a_seed_is_not_shown() {
        let seed = Seed::new(&SeededRandom::new(1));
        assert_eq!(format!("{seed:?}"), "Seed(..)");
    }
}
