//! Rooms, events, users and (type, state key) pairs as 64-bit numbers.
//!
//! A membership's state key number is the member's user number with the class of memberships in the top nibble, so that
//! the members of a room are one branch of its state; all other pairs are interned by `pair_text`, injectively.

use std::sync::Arc;

use database::{Allocator, Interner, Read, RoomNumber, Store, StoreError, Txn, UserNumber};
use users::Users;

use crate::{
    state_map::{EventNumber, StateKeyNumber},
    tables::{ROOM_IDS, ROOM_NUMBERS, STATE_KEY_NAMES, STATE_KEYS},
};

/// The class of `m.room.member` in the top nibble of a state key number.
pub const MEMBER_CLASS: u8 = 1;
const CLASS_SHIFT: u32 = 60;

/// Gives out and looks up the numbers of rooms, events and state keys.
#[derive(Clone)]
pub struct Numbers {
    users: Users,
    rooms: Interner<RoomNumber>,
    state_keys: Interner<StateKeyNumber>,
    events: Allocator,
}

impl Numbers {
    pub fn open(store: &Store, users: Users) -> Self {
        Self {
            users,
            rooms: Interner::new(store, &ROOM_NUMBERS, &ROOM_IDS, "rooms"),
            state_keys: Interner::new(store, &STATE_KEYS, &STATE_KEY_NAMES, "state_keys"),
            events: Allocator::open(store, "events"),
        }
    }

    pub async fn find_room(
        &self,
        db: &impl Read,
        room_id: &str,
    ) -> Result<Option<RoomNumber>, StoreError> {
        self.rooms.find(db, room_id).await
    }

    pub async fn room_id(
        &self,
        db: &impl Read,
        room: RoomNumber,
    ) -> Result<Option<Arc<str>>, StoreError> {
        self.rooms.text(db, room).await
    }

    pub async fn intern_room(&self, txn: &Txn, room_id: &str) -> Result<RoomNumber, StoreError> {
        self.rooms.intern(txn, room_id).await
    }

    pub async fn next_event(&self) -> Result<EventNumber, StoreError> {
        Ok(EventNumber(self.events.next().await?))
    }

    /// The number of a (type, state key) pair; `None` if no room ever had it.
    pub async fn find_state_key(
        &self,
        db: &impl Read,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<StateKeyNumber>, StoreError> {
        if kind == "m.room.member" {
            let user = self.users.find_number(db, state_key).await?;
            return Ok(user.map(member_key));
        }
        self.state_keys.find(db, &pair_text(kind, state_key)).await
    }

    pub async fn intern_state_key(
        &self,
        txn: &Txn,
        kind: &str,
        state_key: &str,
    ) -> Result<StateKeyNumber, StoreError> {
        if kind == "m.room.member" {
            return Ok(member_key(self.users.intern(txn, state_key).await?));
        }
        self.state_keys
            .intern(txn, &pair_text(kind, state_key))
            .await
    }
}

/// The state key number of a user's membership.
pub fn member_key(user: UserNumber) -> StateKeyNumber {
    StateKeyNumber(u64::from(MEMBER_CLASS) << CLASS_SHIFT | user.0)
}

/// The member whom a state key number speaks of, if it is a membership's.
pub fn member_of(key: StateKeyNumber) -> Option<UserNumber> {
    let user = UserNumber(key.0 & !(0xF << CLASS_SHIFT));
    (key.0 >> CLASS_SHIFT == u64::from(MEMBER_CLASS)).then_some(user)
}

/// One text for one pair and no other: the type's length in bytes, a colon, the type, the state key.
pub(crate) fn pair_text(kind: &str, state_key: &str) -> String {
    format!("{}:{kind}{state_key}", kind.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_pairs_have_different_texts() {
        assert_ne!(pair_text("a", "bc"), pair_text("ab", "c"));
        assert_ne!(pair_text("1:a", ""), pair_text("1", ":a"));
    }

    #[test]
    fn a_membership_key_names_its_user() {
        assert_eq!(member_of(member_key(UserNumber(77))), Some(UserNumber(77)));
        assert_eq!(member_of(StateKeyNumber(77)), None);
    }
}
