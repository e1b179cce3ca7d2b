//! New versions: the tree with some entries put and removed, in canonical form.
//!
//! The new tree is thought out without any I/O over the nodes in memory; those that it lacked are then fetched, all at once,
//! and it is thought out again: once where all is in the cache, once per level where nothing is. Only then it is hashed and
//! written, so that several changes together write no node that only lay between them.

use std::{collections::HashMap, sync::Arc};

use database::{RoomNumber, StoreError, Txn};

use super::{
    EventNumber, STATE_NODES, StateKeyNumber, StateMaps, StateRoot,
    node::{Child, Entry, LEAF_ENTRIES, Node, NodeHash, Place, hash},
};

type Changes = [(Place, Option<EventNumber>)];

impl StateMaps {
    /// The state after some changes: `None` removes a key. Of several changes of one key, the last counts. Writes the nodes
    /// of the new version in the transaction; `root` is of the store or of the same transaction.
    pub async fn update(
        &self,
        txn: &Txn,
        room: RoomNumber,
        root: StateRoot,
        changes: &[(StateKeyNumber, Option<EventNumber>)],
    ) -> Result<StateRoot, StoreError> {
        let changes = in_order(changes);
        let mut held = HashMap::new();
        let tree = loop {
            let mut plan = Plan {
                maps: self,
                room,
                held: &held,
                missing: Vec::new(),
            };
            let tree = plan.change(Tree::at(root), 0, &changes);
            let missing = plan.missing;
            if missing.is_empty() {
                break tree;
            }
            let nodes = self.nodes(txn, room, &missing).await?;
            held.extend(missing.into_iter().zip(nodes));
        };
        Ok(match tree {
            Tree::Empty => StateRoot::EMPTY,
            tree => StateRoot(self.write(txn, room, tree)),
        })
    }

    fn write(&self, txn: &Txn, room: RoomNumber, tree: Tree) -> NodeHash {
        let node = match tree {
            Tree::Stored { hash, .. } => return hash,
            Tree::Empty => Node::Leaf([].into()),
            Tree::Leaf(entries) => Node::Leaf(entries.into()),
            Tree::Branch { children, .. } => {
                let children = children.into_iter().map(|(slot, tree)| {
                    let count = tree.count();
                    Child {
                        slot,
                        count,
                        hash: self.write(txn, room, tree),
                    }
                });
                Node::Branch(children.collect())
            }
        };
        let bytes = node.encode();
        let hash = hash(&bytes);
        txn.put(STATE_NODES.at((room, &hash)), &bytes);
        self.cache.insert(room, hash, Arc::new(node));
        hash
    }
}

/// A tree that is not written yet.
#[derive(Clone)]
enum Tree {
    Empty,
    /// A subtree as it was. The count of a root is not known, and not needed.
    Stored {
        hash: NodeHash,
        count: u32,
    },
    Leaf(Vec<Entry>),
    Branch {
        children: Vec<(u8, Tree)>,
        count: u32,
    },
}

impl Tree {
    fn at(root: StateRoot) -> Self {
        if root == StateRoot::EMPTY {
            Self::Empty
        } else {
            Self::Stored {
                hash: root.0,
                count: 0,
            }
        }
    }

    /// The canonical form of some entries, which are in the order of their places.
    fn of(entries: Vec<Entry>, level: u32) -> Self {
        if entries.is_empty() {
            return Self::Empty;
        }
        if entries.len() <= LEAF_ENTRIES {
            return Self::Leaf(entries);
        }
        let count = count(entries.len());
        let children = entries
            .chunk_by(|a, b| a.0.slot(level) == b.0.slot(level))
            .map(|part| (part[0].0.slot(level), Self::of(part.to_vec(), level + 1)));
        Self::Branch {
            children: children.collect(),
            count,
        }
    }

    fn count(&self) -> u32 {
        match self {
            Self::Empty => 0,
            Self::Stored { count, .. } | Self::Branch { count, .. } => *count,
            Self::Leaf(entries) => count(entries.len()),
        }
    }

    fn is_stored_as(&self, child: Option<&Child>) -> bool {
        match self {
            Self::Empty => child.is_none(),
            Self::Stored { hash, .. } => child.is_some_and(|child| child.hash == *hash),
            Self::Leaf(_) | Self::Branch { .. } => false,
        }
    }
}

impl From<Option<&Child>> for Tree {
    fn from(child: Option<&Child>) -> Self {
        match child {
            Some(Child { hash, count, .. }) => Self::Stored {
                hash: *hash,
                count: *count,
            },
            None => Self::Empty,
        }
    }
}

struct Plan<'a> {
    maps: &'a StateMaps,
    room: RoomNumber,
    held: &'a HashMap<NodeHash, Arc<Node>>,
    /// Where this is not empty at the end, the plan is worth nothing.
    missing: Vec<NodeHash>,
}

impl Plan<'_> {
    fn node(&mut self, hash: NodeHash) -> Option<Arc<Node>> {
        let node = self
            .held
            .get(&hash)
            .cloned()
            .or_else(|| self.maps.cache.get(self.room, &hash));
        if node.is_none() {
            self.missing.push(hash);
        }
        node
    }

    fn change(&mut self, tree: Tree, level: u32, changes: &Changes) -> Tree {
        if changes.is_empty() {
            return tree;
        }
        let Tree::Stored { hash, .. } = tree else {
            return Tree::of(merged(&[], changes), level);
        };
        match self.node(hash).as_deref() {
            None => tree,
            Some(Node::Leaf(entries)) => {
                let merged = merged(entries, changes);
                if merged == **entries {
                    tree
                } else {
                    Tree::of(merged, level)
                }
            }
            Some(Node::Branch(children)) => {
                self.change_branch(children, level, changes).unwrap_or(tree)
            }
        }
    }

    /// `None` where nothing changed.
    fn change_branch(&mut self, old: &[Child], level: u32, changes: &Changes) -> Option<Tree> {
        let mut old = old.iter().peekable();
        let mut parts = changes
            .chunk_by(|a, b| a.0.slot(level) == b.0.slot(level))
            .peekable();
        let mut children = Vec::with_capacity(16);
        let mut is_changed = false;
        for slot in 0..16 {
            let child = old.next_if(|child| child.slot == slot);
            let part = parts
                .next_if(|part| part[0].0.slot(level) == slot)
                .unwrap_or_default();
            let tree = self.change(Tree::from(child), level + 1, part);
            is_changed |= !tree.is_stored_as(child);
            if !matches!(tree, Tree::Empty) {
                children.push((slot, tree));
            }
        }
        if !is_changed {
            return None;
        }
        let count = children.iter().map(|(_, tree)| tree.count()).sum();
        if count as usize > LEAF_ENTRIES {
            return Some(Tree::Branch { children, count });
        }
        let mut entries = Vec::with_capacity(LEAF_ENTRIES);
        for (_, tree) in children {
            self.gather(tree, &mut entries);
        }
        Some(Tree::of(entries, level))
    }

    /// The entries of a subtree that becomes a leaf, in the order of their places.
    fn gather(&mut self, tree: Tree, entries: &mut Vec<Entry>) {
        match tree {
            Tree::Empty => {}
            Tree::Leaf(own) => entries.extend(own),
            Tree::Branch { children, .. } => {
                for (_, tree) in children {
                    self.gather(tree, entries);
                }
            }
            Tree::Stored { hash, .. } => match self.node(hash).as_deref() {
                None => {}
                Some(Node::Leaf(own)) => entries.extend_from_slice(own),
                Some(Node::Branch(children)) => {
                    for child in children {
                        self.gather(Tree::from(Some(child)), entries);
                    }
                }
            },
        }
    }
}

fn in_order(
    changes: &[(StateKeyNumber, Option<EventNumber>)],
) -> Vec<(Place, Option<EventNumber>)> {
    let mut changes: Vec<_> = changes
        .iter()
        .rev()
        .map(|(key, event)| (Place::from(*key), *event))
        .collect();
    changes.sort_by_key(|(place, _)| *place);
    changes.dedup_by_key(|(place, _)| *place);
    changes
}

fn merged(entries: &[Entry], changes: &Changes) -> Vec<Entry> {
    let mut out = Vec::with_capacity(entries.len() + changes.len());
    let mut entries = entries.iter().copied().peekable();
    for (place, event) in changes {
        while let Some(entry) = entries.next_if(|entry| entry.0 < *place) {
            out.push(entry);
        }
        entries.next_if(|entry| entry.0 == *place);
        out.extend(event.map(|event| (*place, event)));
    }
    out.extend(entries);
    out
}

fn count(entries: usize) -> u32 {
    u32::try_from(entries).expect("a room has fewer than 2^32 entries")
}
