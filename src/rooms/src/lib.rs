//! rooms.
