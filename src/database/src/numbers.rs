//! Numbers for what is otherwise named by long strings: eight bytes in keys and indexes.

mod allocator;
mod interner;

use serde::{Deserialize, Serialize};

pub use self::{
    allocator::{Allocator, NUMBER_BLOCKS},
    interner::Interner,
};
use crate::{number_key, value::Record};

/// A user, local or remote, by its interned id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserNumber(pub u64);

number_key!(UserNumber);
impl Record for UserNumber {}

/// A room by its interned id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoomNumber(pub u64);

number_key!(RoomNumber);
impl Record for RoomNumber {}
