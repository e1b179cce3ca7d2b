//! What is stored of rooms: tables, numbers, events and their cache, look-ups, the state map, threads. The lowest of the four
//! crates of rooms: it knows no user intent and no visibility.

mod error;
mod event;
mod event_cache;
mod handle;
mod lookup;
mod numbers;
mod power;
mod servers;
pub mod state_map;
pub mod tables;
mod threads;

pub use crate::{
    error::RoomError,
    event::{DUMMY, Event, Unreadable},
    event_cache::EventCache,
    handle::{RoomStore, RoomStoreConfig},
    numbers::{MEMBER_CLASS, Numbers, member_key, member_of},
    tables::{
        FIRST_FILLED_SLOT, Membership, Place, Placement, Residency, RoomHead, Verdict, tables,
    },
};
