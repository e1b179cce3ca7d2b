//! The handle on what users may read.

use std::sync::Arc;

use database::Clock;
use rooms_store::RoomStore;

/// Reads rooms on behalf of users. Cheap to clone.
#[derive(Clone)]
pub struct History {
    pub(crate) rooms: RoomStore,
    pub(crate) clock: Arc<dyn Clock>,
}

impl History {
    pub fn new(rooms: RoomStore, clock: Arc<dyn Clock>) -> Self {
        Self { rooms, clock }
    }

    /// The stored rooms.
    pub fn rooms(&self) -> &RoomStore {
        &self.rooms
    }
}
