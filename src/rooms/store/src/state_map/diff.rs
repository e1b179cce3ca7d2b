//! What differs between two versions of a room's state. Equal subtrees have equal hashes and are not looked at, so the cost
//! is that of the differences.

use std::{cmp::Ordering, sync::Arc};

use database::{Read, RoomNumber, StoreError};

use super::{
    EventNumber, StateKeyNumber, StateMaps, StateRoot,
    node::{Entry, Node, NodeHash, child_at},
    read::BATCH,
};

/// What became of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: StateKeyNumber,
    pub before: Option<EventNumber>,
    pub after: Option<EventNumber>,
}

impl StateMaps {
    /// What differs between two maps, in the order of the keys.
    pub async fn diff(
        &self,
        db: &impl Read,
        room: RoomNumber,
        from: StateRoot,
        to: StateRoot,
    ) -> Result<Vec<Change>, StoreError> {
        let mut changes = Vec::new();
        let mut ahead = Vec::new();
        if from != to {
            ahead.push(Pair {
                from: Side::at(from),
                to: Side::at(to),
                level: 0,
            });
        }
        while !ahead.is_empty() {
            let batch = ahead.split_off(ahead.len().saturating_sub(BATCH));
            let sides = batch.iter().flat_map(|pair| [&pair.from, &pair.to]);
            let hashes: Vec<NodeHash> = sides.filter_map(Side::hash).collect();
            let mut nodes = self.nodes(db, room, &hashes).await?.into_iter();
            for Pair { from, to, level } in batch {
                let (from, to) = (from.opened(&mut nodes), to.opened(&mut nodes));
                compare(&from, &to, level, &mut ahead, &mut changes);
            }
        }
        changes.sort_unstable_by_key(|change| change.key);
        Ok(changes)
    }
}

/// The same subtree in both versions, to be compared.
struct Pair {
    from: Side,
    to: Side,
    level: u32,
}

#[derive(PartialEq)]
enum Side {
    Stored(NodeHash),
    /// The part of a leaf that stands against a subtree; nothing, where there is no subtree.
    Entries(Vec<Entry>),
}

impl Side {
    fn at(root: StateRoot) -> Self {
        if root == StateRoot::EMPTY {
            Self::Entries(Vec::new())
        } else {
            Self::Stored(root.0)
        }
    }

    fn hash(&self) -> Option<NodeHash> {
        match self {
            Self::Stored(hash) => Some(*hash),
            Self::Entries(_) => None,
        }
    }

    /// `nodes` are those of all stored sides, in their order.
    fn opened(self, nodes: &mut impl Iterator<Item = Arc<Node>>) -> Arc<Node> {
        match self {
            Self::Stored(_) => nodes.next().expect("one node for each stored side"),
            Self::Entries(entries) => Arc::new(Node::Leaf(entries.into())),
        }
    }
}

fn compare(from: &Node, to: &Node, level: u32, ahead: &mut Vec<Pair>, changes: &mut Vec<Change>) {
    if let (Node::Leaf(from), Node::Leaf(to)) = (from, to) {
        compare_entries(from, to, changes);
        return;
    }
    for slot in 0..16 {
        let (from, to) = (part(from, slot, level), part(to, slot, level));
        if from != to {
            ahead.push(Pair {
                from,
                to,
                level: level + 1,
            });
        }
    }
}

fn part(node: &Node, slot: u8, level: u32) -> Side {
    match node {
        Node::Leaf(entries) => {
            let own = entries
                .iter()
                .filter(|(place, _)| place.slot(level) == slot);
            Side::Entries(own.copied().collect())
        }
        Node::Branch(children) => match child_at(children, slot) {
            Some(child) => Side::Stored(child.hash),
            None => Side::Entries(Vec::new()),
        },
    }
}

fn compare_entries(from: &[Entry], to: &[Entry], changes: &mut Vec<Change>) {
    let (mut from, mut to) = (from.iter().peekable(), to.iter().peekable());
    loop {
        let order = match (from.peek(), to.peek()) {
            (None, None) => return,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(from), Some(to)) => from.0.cmp(&to.0),
        };
        let before = from.next_if(|_| order.is_le());
        let after = to.next_if(|_| order.is_ge());
        let Some((place, _)) = before.or(after) else {
            return;
        };
        let (before, after) = (before.map(|entry| entry.1), after.map(|entry| entry.1));
        if before != after {
            changes.push(Change {
                key: place.key(),
                before,
                after,
            });
        }
    }
}
