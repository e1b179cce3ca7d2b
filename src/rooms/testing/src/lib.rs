//! The one fixture for tests of rooms and of everything above them: all of a server's rooms on the memory engine, with a
//! mock clock and seeded randomness.

mod fixture;
pub mod graph;

pub use crate::fixture::{Handles, Settings, TestRooms, asked, message, raw, transaction};
