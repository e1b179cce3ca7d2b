//! The handle on aliases and directories.

use rooms_history::History;
use rooms_store::RoomStore;
use rooms_writer::RoomWriter;

/// Finds rooms and people. Cheap to clone.
#[derive(Clone)]
pub struct RoomDirectory {
    pub(crate) rooms: RoomStore,
    pub(crate) history: History,
    pub(crate) writer: RoomWriter,
}

impl RoomDirectory {
    pub fn new(history: History, writer: RoomWriter) -> Self {
        Self {
            rooms: history.rooms().clone(),
            history,
            writer,
        }
    }

    /// The stored rooms.
    pub fn rooms(&self) -> &RoomStore {
        &self.rooms
    }
}
