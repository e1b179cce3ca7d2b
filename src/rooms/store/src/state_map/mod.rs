//! The state of a room as a persistent map: from interned (type, state key) pairs to events, one root per version of it,
//! sharing all that is equal. Storing a version costs its changes, a lookup is logarithmic, and comparing two costs what
//! differs.
//!
//! **Form.** A radix tree over the key's 16 nibbles: first the top one, the key's class, so that the members of a room are
//! one branch; then the lowest first, because numbers are given out in sequence and differ there. A subtree of at most 16
//! entries is one sorted leaf, a larger one a branch with a child for each nibble that occurs. This is canonical: the same
//! map has the same nodes and the same root, whatever the order in which it was filled, and also after removals, which
//! collapse branches again.
//!
//! **Storage.** A node is stored under its room and the first 16 bytes of its SHA-256. [`StateMaps::update`] writes all the
//! nodes that it makes, also those that may be there already: sweeping is then local to a room and its writer's turn, and
//! purging a room is one range deletion.
//!
//! **Cache.** Nodes enter the cache when they are read and already when they are made, before their transaction commits. That
//! is harmless: what the cache answers for a hash has that hash, so it is right wherever the hash is asked for. If the
//! commit fails, nothing on disk leads to a node that was only made for it, except by making the node again, which writes it
//! again. It follows that a root is only valid as a base where it was read from the store or made in the same
//! transaction: after a failed commit, the writer drops what it remembers and reads anew.

mod cache;
mod diff;
mod node;
mod read;
mod update;

use std::sync::Arc;

use database::{Record, RoomNumber, Table, number_key};
use serde::{Deserialize, Serialize};

use self::{cache::NodeCache, node::NodeHash};
pub use self::{diff::Change, read::Walk};

/// The nodes of the trees, each as `node` encodes it. Written by [`StateMaps::update`].
pub static STATE_NODES: Table<(RoomNumber, NodeHash), Vec<u8>> = Table::new("state_nodes");

/// A (type, state key) pair. The top nibble is its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StateKeyNumber(pub u64);

/// An event, by the number under which it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventNumber(pub u64);

/// One version of a room's state: the hash of its root node. Equal roots of one room are equal states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StateRoot(pub [u8; 16]);

/// The states of all rooms. A cheap handle; its clones share one cache of nodes, bounded in bytes, in which nothing ever
/// becomes invalid.
#[derive(Clone)]
pub struct StateMaps {
    cache: Arc<NodeCache>,
}

impl StateKeyNumber {
    /// The class of all that has no class of its own.
    pub const OTHER: u8 = 0;
    /// The class of `m.room.member`.
    pub const MEMBER: u8 = 1;

    /// The class, 0 to 15.
    pub fn class(self) -> u8 {
        u8::try_from(self.0 >> 60).expect("four bits are left")
    }
}

impl StateRoot {
    /// The state of a room before its create event.
    pub const EMPTY: Self = Self([0; 16]);
}

number_key!(StateKeyNumber);
number_key!(EventNumber);
impl Record for StateKeyNumber {}
impl Record for EventNumber {}

impl StateMaps {
    /// `cache_bytes` bounds the nodes kept in memory.
    pub fn new(cache_bytes: u64) -> Self {
        Self {
            cache: Arc::new(NodeCache::new(cache_bytes)),
        }
    }

    /// What the nodes in memory take now.
    pub fn cached_bytes(&self) -> u64 {
        self.cache.bytes()
    }
}

#[cfg(test)]
mod tests;
