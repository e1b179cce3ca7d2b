//! Events and states of rooms: server-server API, "Backfilling and retrieving missing events", "Retrieving events", "Retrieving
//! event authorisation information".

mod backfill;
mod event;
mod event_auth;
mod missing_events;
mod state;
mod state_ids;

use edge::Routes;

use crate::FederationApi;

pub(crate) fn list(routes: Routes<FederationApi>) -> Routes<FederationApi> {
    routes
        .add(event::event)
        .add(state::state)
        .add(state_ids::state_ids)
        .add(event_auth::event_auth)
        .add(backfill::backfill)
        .add(missing_events::missing_events)
}
