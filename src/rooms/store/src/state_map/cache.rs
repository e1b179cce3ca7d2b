//! Decoded nodes in memory, by room and hash. Bounded in bytes; nothing in it can become invalid, because a hash names one
//! content for ever.

use std::sync::Arc;

use database::RoomNumber;
use quick_cache::{Weighter, sync::Cache};

use super::node::{Node, NodeHash};

pub(super) struct NodeCache(Cache<(RoomNumber, NodeHash), Arc<Node>, Bytes>);

/// Of a usual node in the cache; the estimate only sizes the cache's own table.
const USUAL_BYTES: u64 = 400;
/// What the cache takes for an entry besides the node: key, pointer and its own fields, at the usual load.
const ENTRY_BYTES: u64 = 96;

#[derive(Clone)]
struct Bytes;

impl Weighter<(RoomNumber, NodeHash), Arc<Node>> for Bytes {
    fn weight(&self, _: &(RoomNumber, NodeHash), node: &Arc<Node>) -> u64 {
        ENTRY_BYTES + node.bytes() as u64
    }
}

impl NodeCache {
    pub(super) fn new(bytes: u64) -> Self {
        let items = usize::try_from(bytes / USUAL_BYTES)
            .unwrap_or(usize::MAX)
            .max(16);
        Self(Cache::with_weighter(items, bytes, Bytes))
    }

    pub(super) fn get(&self, room: RoomNumber, hash: &NodeHash) -> Option<Arc<Node>> {
        self.0.get(&(room, *hash))
    }

    pub(super) fn insert(&self, room: RoomNumber, hash: NodeHash, node: Arc<Node>) {
        self.0.insert((room, hash), node);
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.weight()
    }
}
