//! One node of a tree: what it holds, its bytes, its hash.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::{EventNumber, StateKeyNumber};

/// A subtree of more entries is a branch.
pub(super) const LEAF_ENTRIES: usize = 16;

pub(super) type NodeHash = [u8; 16];
pub(super) type Entry = (Place, EventNumber);

/// A key in the order of the tree: its class, then the other nibbles, lowest first. Level 0 looks at the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Child {
    pub(super) slot: u8,
    /// Entries below it.
    pub(super) count: u32,
    pub(super) hash: NodeHash,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// In the order of their places.
    Leaf(Box<[Entry]>),
    /// In the order of their slots.
    Branch(Box<[Child]>),
}

impl Place {
    #[expect(clippy::cast_possible_truncation, reason = "four bits are left")]
    pub(super) fn slot(self, level: u32) -> u8 {
        (self.0 >> (60 - 4 * level.min(15))) as u8 & 15
    }

    pub(super) fn key(self) -> StateKeyNumber {
        StateKeyNumber(turned(self.0))
    }
}

impl From<StateKeyNumber> for Place {
    fn from(key: StateKeyNumber) -> Self {
        Self(turned(key.0))
    }
}

impl Node {
    /// What it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let inside = match self {
            Self::Leaf(entries) => size_of_val(&**entries),
            Self::Branch(children) => size_of_val(&**children),
        };
        inside + size_of::<Self>() + 2 * size_of::<Arc<()>>()
    }

    /// Leaf: 0, the number of entries, then for each its key, turned so that the class is its low nibble, and its event.
    /// Branch: 1, a bit for each slot, low one first, then for each child its hash and its count. Numbers are LEB128.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Leaf(entries) => {
                let mut out = Vec::with_capacity(2 + entries.len() * 10);
                out.push(LEAF);
                push_number(&mut out, entries.len() as u64);
                for (place, event) in entries {
                    push_number(&mut out, place.key().0.rotate_left(4));
                    push_number(&mut out, event.0);
                }
                out
            }
            Self::Branch(children) => {
                let mut out = Vec::with_capacity(3 + children.len() * 20);
                out.push(BRANCH);
                let bits = children
                    .iter()
                    .fold(0_u16, |bits, child| bits | 1 << child.slot);
                out.extend_from_slice(&bits.to_le_bytes());
                for child in children {
                    out.extend_from_slice(&child.hash);
                    push_number(&mut out, child.count.into());
                }
                out
            }
        }
    }

    /// `None` where the bytes are not what `encode` writes.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, mut rest) = bytes.split_first()?;
        let node = match *kind {
            LEAF => {
                let count = usize::try_from(take_number(&mut rest)?).ok()?;
                let mut entries = Vec::with_capacity(count.min(LEAF_ENTRIES));
                for _ in 0..count {
                    let key = StateKeyNumber(take_number(&mut rest)?.rotate_right(4));
                    entries.push((Place::from(key), EventNumber(take_number(&mut rest)?)));
                }
                Self::Leaf(entries.into())
            }
            BRANCH => {
                let bits = u16::from_le_bytes(*take(&mut rest)?);
                let mut children = Vec::with_capacity(bits.count_ones() as usize);
                for slot in (0..16).filter(|slot| bits & 1 << slot != 0) {
                    let hash = *take(&mut rest)?;
                    let count = u32::try_from(take_number(&mut rest)?).ok()?;
                    children.push(Child { slot, count, hash });
                }
                Self::Branch(children.into())
            }
            _ => return None,
        };
        rest.is_empty().then_some(node)
    }
}

pub(super) fn child_at(children: &[Child], slot: u8) -> Option<&Child> {
    children.iter().find(|child| child.slot == slot)
}

pub(super) fn hash(encoded: &[u8]) -> NodeHash {
    let whole: [u8; 32] = Sha256::digest(encoded).into();
    *whole.first_chunk().expect("16 of 32 bytes")
}

const LEAF: u8 = 0;
const BRANCH: u8 = 1;

/// Keeps the top nibble and turns the order of the other fifteen around; done twice, it is undone.
fn turned(number: u64) -> u64 {
    let bytes = number.rotate_left(4).swap_bytes();
    (bytes & 0x0F0F_0F0F_0F0F_0F0F) << 4 | (bytes & 0xF0F0_F0F0_F0F0_F0F0) >> 4
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = *take(rest)?;
        let bits = u64::from(byte & 0x7F);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (taken, left) = rest.split_first_chunk()?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn leaf(entries: &[(u64, u64)]) -> Node {
        let mut entries: Vec<_> = entries
            .iter()
            .map(|(key, event)| (Place::from(StateKeyNumber(*key)), EventNumber(*event)))
            .collect();
        entries.sort_by_key(|(place, _)| *place);
        Node::Leaf(entries.into())
    }

    #[test]
    fn a_place_is_the_class_and_then_the_nibbles_lowest_first() {
        let place = Place::from(StateKeyNumber(0x1000_0000_0000_0ABC));
        let slots: Vec<_> = (0..16).map(|level| place.slot(level)).collect();
        assert_eq!(
            slots,
            [1, 0xC, 0xB, 0xA, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        let place = Place::from(StateKeyNumber(0xF123_4567_89AB_CDEF));
        let slots: Vec<_> = (0..16).map(|level| place.slot(level)).collect();
        assert_eq!(
            slots,
            [15, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
        );
    }

    #[test]
    fn the_bytes_of_the_released_format() {
        let node = leaf(&[(5, 300), (1 << 60 | 2, 1)]);
        assert_eq!(node.encode(), [0, 2, 0x50, 0xAC, 2, 0x21, 1]);
        assert_eq!(Node::decode(&node.encode()), Some(node));

        let child = |slot, count| Child {
            slot,
            count,
            hash: [slot; 16],
        };
        let node = Node::Branch([child(0, 1), child(9, 200)].into());
        let expected = [&[1, 1, 2][..], &[0; 16], &[1], &[9; 16], &[0xC8, 1]].concat();
        assert_eq!(node.encode(), expected);
        assert_eq!(Node::decode(&expected), Some(node));
    }

    proptest! {
        #[test]
        fn turning_twice_changes_nothing(number: u64) {
            prop_assert_eq!(turned(turned(number)), number);
        }

        #[test]
        fn leaves_are_read_back(
            entries in proptest::collection::btree_map(any::<u64>(), any::<u64>(), 0..=16),
        ) {
            let node = leaf(&entries.into_iter().collect::<Vec<_>>());
            let bytes = node.encode();
            prop_assert_eq!(Node::decode(&bytes), Some(node));
            for end in 0..bytes.len() {
                prop_assert_eq!(Node::decode(&bytes[..end]), None);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = Node::decode(&bytes);
        }
    }
}
