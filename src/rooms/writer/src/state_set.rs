//! A state of the room that may not be stored yet: a stored root and what differs from it.

use std::collections::BTreeMap;

use database::{RoomNumber, Snapshot, StoreError, Txn};
use rooms_store::{
    RoomStore,
    state_map::{EventNumber, StateKeyNumber, StateRoot},
};

/// One state. Two sets with the same base and changes are equal states; the reverse need not hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StateSet {
    pub(crate) base: StateRoot,
    /// Sorted by key, one change for each.
    changes: Vec<(StateKeyNumber, Option<EventNumber>)>,
}

impl StateSet {
    pub(crate) fn stored(base: StateRoot) -> Self {
        Self {
            base,
            changes: Vec::new(),
        }
    }

    /// A state with these events.
    pub(crate) fn of(events: BTreeMap<StateKeyNumber, Option<EventNumber>>) -> Self {
        Self {
            base: StateRoot::EMPTY,
            changes: events.into_iter().collect(),
        }
    }

    pub(crate) fn changes(&self) -> &[(StateKeyNumber, Option<EventNumber>)] {
        &self.changes
    }

    /// The same state with one key set or removed.
    pub(crate) fn set(&mut self, key: StateKeyNumber, event: Option<EventNumber>) {
        match self.changes.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => self.changes[at].1 = event,
            Err(at) => self.changes.insert(at, (key, event)),
        }
    }

    pub(crate) async fn get(
        &self,
        rooms: &RoomStore,
        db: &Snapshot,
        room: RoomNumber,
        key: StateKeyNumber,
    ) -> Result<Option<EventNumber>, StoreError> {
        match self.changes.binary_search_by_key(&key, |(key, _)| *key) {
            Ok(at) => Ok(self.changes[at].1),
            Err(_) => rooms.states().get(db, room, self.base, key).await,
        }
    }

    /// Stores the state, as part of a commit.
    pub(crate) async fn store(
        &self,
        rooms: &RoomStore,
        txn: &Txn,
        room: RoomNumber,
    ) -> Result<StateRoot, StoreError> {
        if self.changes.is_empty() {
            return Ok(self.base);
        }
        rooms
            .states()
            .update(txn, room, self.base, &self.changes)
            .await
    }
}
