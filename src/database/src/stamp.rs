//! Places in the one total order of writes.

use serde::{Deserialize, Serialize};

use crate::{number_key, value::Record};

/// One commit's place in the order of all commits. A `/sync` token is a stamp: all of a commit is
/// new, or none of it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Stamp(pub u64);

number_key!(Stamp);
impl Record for Stamp {}

impl Stamp {
    /// The stamp of an empty database. All commits have greater stamps; those below are free for
    /// positions that are counted down (backfill).
    pub const START: Self = Self(1 << 63);
    pub const MAX: Self = Self(u64::MAX);

    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Place of one entry, the same in every log that it enters: the entries of one commit keep their
/// order. Pagination tokens are positions.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Position(pub Stamp, pub u32);

impl Record for Position {}

impl Position {
    pub const MIN: Self = Self(Stamp(0), 0);
    pub const MAX: Self = Self(Stamp::MAX, u32::MAX);
    /// Bytes of a position in keys and in placed values.
    pub const LENGTH: usize = 12;

    /// The first place in the commit of `stamp`: `rows.before(..)` it is all earlier commits.
    pub const fn first_of(stamp: Stamp) -> Self {
        Self(stamp, 0)
    }

    /// The last place in the commit of `stamp`: `rows.after(..)` it is all later commits.
    pub const fn last_of(stamp: Stamp) -> Self {
        Self(stamp, u32::MAX)
    }

    /// The place right before this one; the least has none and stays.
    #[must_use]
    pub const fn previous(self) -> Self {
        let Self(Stamp(stamp), slot) = self;
        match (slot, stamp) {
            (0, 0) => self,
            (0, _) => Self(Stamp(stamp - 1), u32::MAX),
            (_, _) => Self(Stamp(stamp), slot - 1),
        }
    }

    /// Big-endian, so that bytes sort as positions do.
    pub fn to_bytes(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&self.0.0.to_be_bytes());
        bytes[8..].copy_from_slice(&self.1.to_be_bytes());
        bytes
    }

    pub fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        let [stamp @ .., high, upper, lower, low] = bytes;
        Self(
            Stamp(u64::from_be_bytes(stamp)),
            u32::from_be_bytes([high, upper, lower, low]),
        )
    }
}

/// The place of an entry within its transaction; its position is known once it commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub(crate) u32);

impl Slot {
    /// Where this slot is, in the commit of `stamp`; only engines know that.
    pub const fn at(self, stamp: Stamp) -> Position {
        Position(stamp, self.0)
    }

    /// Index among the slots of its transaction, from 0. With the stamp that `transact` returns
    /// it makes the position.
    pub const fn index(self) -> u32 {
        self.0
    }
}

/// A value that names the position of a log entry of the commit that wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed<V> {
    pub value: V,
    pub position: Position,
}
