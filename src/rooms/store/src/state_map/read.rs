//! Lookups and walks.

use std::sync::Arc;

use database::{Read, RoomNumber, StoreError};

use super::{
    EventNumber, STATE_NODES, StateKeyNumber, StateMaps, StateRoot,
    node::{Entry, Node, NodeHash, Place, child_at},
};

/// How many nodes are fetched at once.
pub(super) const BATCH: usize = 64;

/// Some entries of a map.
type Entries = Vec<(StateKeyNumber, EventNumber)>;

impl StateMaps {
    pub async fn get(
        &self,
        db: &impl Read,
        room: RoomNumber,
        root: StateRoot,
        key: StateKeyNumber,
    ) -> Result<Option<EventNumber>, StoreError> {
        if root == StateRoot::EMPTY {
            return Ok(None);
        }
        let place = Place::from(key);
        let (mut hash, mut level) = (root.0, 0);
        loop {
            match &*self.node(db, room, &hash).await? {
                Node::Leaf(entries) => return Ok(find(entries, place)),
                Node::Branch(children) => match child_at(children, place.slot(level)) {
                    Some(child) => (hash, level) = (child.hash, level + 1),
                    None => return Ok(None),
                },
            }
        }
    }

    /// Answers in the order of `keys`.
    pub async fn get_many(
        &self,
        db: &impl Read,
        room: RoomNumber,
        root: StateRoot,
        keys: &[StateKeyNumber],
    ) -> Result<Vec<Option<EventNumber>>, StoreError> {
        let mut found = vec![None; keys.len()];
        if root == StateRoot::EMPTY {
            return Ok(found);
        }
        let mut wanted: Vec<(Place, usize)> =
            keys.iter().map(|key| Place::from(*key)).zip(0..).collect();
        wanted.sort_unstable();
        let mut ahead = vec![(root.0, &wanted[..])];
        let mut level = 0;
        while !ahead.is_empty() {
            let hashes: Vec<_> = ahead.iter().map(|(hash, _)| *hash).collect();
            let nodes = self.nodes(db, room, &hashes).await?;
            let mut below = Vec::new();
            for ((_, part), node) in ahead.into_iter().zip(nodes) {
                match &*node {
                    Node::Leaf(entries) => {
                        for (place, index) in part {
                            found[*index] = find(entries, *place);
                        }
                    }
                    Node::Branch(children) => {
                        for part in part.chunk_by(|a, b| a.0.slot(level) == b.0.slot(level)) {
                            let child = child_at(children, part[0].0.slot(level));
                            below.extend(child.map(|child| (child.hash, part)));
                        }
                    }
                }
            }
            ahead = below;
            level += 1;
        }
        Ok(found)
    }

    /// All entries, in no particular order. Very large maps are better walked over.
    pub async fn list(
        &self,
        db: &impl Read,
        room: RoomNumber,
        root: StateRoot,
    ) -> Result<Entries, StoreError> {
        self.walk(room, root, None).rest(db).await
    }

    /// All entries of a class.
    pub async fn list_class(
        &self,
        db: &impl Read,
        room: RoomNumber,
        root: StateRoot,
        class: u8,
    ) -> Result<Entries, StoreError> {
        self.walk(room, root, Some(class)).rest(db).await
    }

    /// A walk over all entries, or those of a class, in pieces.
    pub fn walk(&self, room: RoomNumber, root: StateRoot, class: Option<u8>) -> Walk {
        let ahead = if root == StateRoot::EMPTY {
            Vec::new()
        } else {
            vec![root.0]
        };
        Walk {
            maps: self.clone(),
            room,
            class,
            ahead,
            is_at_root: true,
        }
    }

    pub(super) async fn node(
        &self,
        db: &impl Read,
        room: RoomNumber,
        hash: &NodeHash,
    ) -> Result<Arc<Node>, StoreError> {
        if let Some(node) = self.cache.get(room, hash) {
            return Ok(node);
        }
        let bytes = db.get(STATE_NODES.at((room, hash))).await?;
        self.keep(room, hash, bytes)
    }

    /// Answers in the order of `hashes`.
    pub(super) async fn nodes(
        &self,
        db: &impl Read,
        room: RoomNumber,
        hashes: &[NodeHash],
    ) -> Result<Vec<Arc<Node>>, StoreError> {
        let mut nodes: Vec<_> = hashes
            .iter()
            .map(|hash| self.cache.get(room, hash))
            .collect();
        let missing: Vec<usize> = (0..hashes.len())
            .filter(|at| nodes[*at].is_none())
            .collect();
        for part in missing.chunks(BATCH) {
            let rows = part
                .iter()
                .map(|at| STATE_NODES.at((room, &hashes[*at])))
                .collect();
            for (at, bytes) in part.iter().zip(db.get_many(rows).await?) {
                nodes[*at] = Some(self.keep(room, &hashes[*at], bytes)?);
            }
        }
        nodes.into_iter().map(|node| node.ok_or(MISSING)).collect()
    }

    fn keep(
        &self,
        room: RoomNumber,
        hash: &NodeHash,
        bytes: Option<Vec<u8>>,
    ) -> Result<Arc<Node>, StoreError> {
        let node = Node::decode(&bytes.ok_or(MISSING)?).ok_or(UNREADABLE)?;
        let node = Arc::new(node);
        self.cache.insert(room, *hash, node.clone());
        Ok(node)
    }
}

/// A walk over one version of a room's state that holds a bounded part of it at a time.
pub struct Walk {
    maps: StateMaps,
    room: RoomNumber,
    class: Option<u8>,
    /// Nodes to come, the next one last.
    ahead: Vec<NodeHash>,
    is_at_root: bool,
}

impl Walk {
    /// Some more entries, about a thousand at most; `None` at the end.
    pub async fn next(&mut self, db: &impl Read) -> Result<Option<Entries>, StoreError> {
        let mut found = Vec::new();
        while found.is_empty() && !self.ahead.is_empty() {
            let batch = self.ahead.split_off(self.ahead.len().saturating_sub(BATCH));
            for node in self.maps.nodes(db, self.room, &batch).await? {
                self.visit(&node, &mut found);
            }
        }
        Ok((!found.is_empty()).then_some(found))
    }

    /// What is left, all at once.
    async fn rest(mut self, db: &impl Read) -> Result<Entries, StoreError> {
        let mut all = Vec::new();
        while let Some(mut some) = self.next(db).await? {
            all.append(&mut some);
        }
        Ok(all)
    }

    /// Below the root, all is of the class.
    fn visit(&mut self, node: &Node, found: &mut Entries) {
        let class = self.class.filter(|_| self.is_at_root);
        self.is_at_root = false;
        let is_wanted = |slot: u8| class.is_none_or(|class| class == slot);
        match node {
            Node::Leaf(entries) => {
                let entries = entries.iter().filter(|(place, _)| is_wanted(place.slot(0)));
                found.extend(entries.map(|(place, event)| (place.key(), *event)));
            }
            Node::Branch(children) => {
                let children = children.iter().rev().filter(|child| is_wanted(child.slot));
                self.ahead.extend(children.map(|child| child.hash));
            }
        }
    }
}

/// A root from a transaction that failed, or a node that was swept too early: never what a client did.
const MISSING: StoreError = StoreError::Corrupt("a node of a room's state is missing");
const UNREADABLE: StoreError = StoreError::Corrupt("a node of a room's state is not readable");

fn find(entries: &[Entry], place: Place) -> Option<EventNumber> {
    let at = entries
        .binary_search_by_key(&place, |(place, _)| *place)
        .ok()?;
    Some(entries[at].1)
}
