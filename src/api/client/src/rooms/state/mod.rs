//! Client-server API, "Getting events for a room": its state and its members.

mod event;
mod joined_members;
mod joined_rooms;
mod members;
mod whole;

use edge::{Class, Routes, Rule};

use super::DELAY;
use crate::ClientApi;

pub(super) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    let puts = Rule::new().class(Class::Message);
    let puts = puts.requires_body().empty_last().refuses_parameter(DELAY);
    routes
        .add(whole::state)
        .add_with(event::get, Rule::new().empty_last())
        .add_with(event::put, puts)
        .add(members::members)
        .add(joined_members::joined_members)
        .add(joined_rooms::joined_rooms)
}
