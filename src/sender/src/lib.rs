//! Outbound federation: what local users do reaches the servers in their rooms.
//!
//! * `follow`: follows the server's log, and writes each new event into the queues of its
//!   destinations.
//! * `schedule`: which destination is tried when; one transaction in flight to each.
//! * `deliver`: one transaction: built from the queue, sent, and its rows deleted once it is
//!   acknowledged.
//! * `catch_up`: a destination that does not answer for long has no queue but a mark for each
//!   room, and is sent the latest events of those rooms.
//! * `typing`: what is lost with a restart.

mod catch_up;
mod deliver;
mod follow;
mod handle;
mod schedule;
mod status;
mod tables;
mod typing;

pub use crate::{
    handle::{Sender, SenderNeeds},
    status::{DestinationStatus, status},
    tables::{DeliveryError, QueuedEvent, tables},
};
