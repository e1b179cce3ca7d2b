//! Finding rooms and people: aliases, the directory of published rooms, the user directory.

mod aliases;
mod handle;
mod public_rooms;
mod user_directory;

pub use crate::{
    handle::RoomDirectory,
    public_rooms::{DirectoryPage, DirectoryRequest, DirectoryToken, PublicRoom},
    user_directory::UserSearch,
};
