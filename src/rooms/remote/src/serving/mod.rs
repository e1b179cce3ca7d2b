//! Serving rooms to other servers: events and states, and the handshakes by which their users join, leave and knock (server-server
//! API, "Backfilling and retrieving missing events", "Retrieving events", "Joining Rooms").
//!
//! `access` decides whom a room is served to; everything else asks it first.

mod accept;
mod access;
mod chain;
mod conditions;
mod events;
mod handshake;
mod state;
mod template;
mod walk;

pub use self::{
    accept::JoinedState,
    access::Served,
    handshake::{Handshake, HandshakeError},
    state::ServedState,
    template::Template,
};
