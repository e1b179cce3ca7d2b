//! Rooms: client-server API, "Rooms", with receipts, read markers, typing and the directory.

mod create;
mod directory;
mod events;
mod membership;
mod reading;
mod refusal;
mod state;

use edge::{Class, Routes, Rule};

use crate::ClientApi;

/// MSC4140: without delayed events, an event with a delay must not be sent at once.
const DELAY: &str = "org.matrix.msc4140.delay";

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    let routes = routes.add_with(create::create, Rule::new().class(Class::Join));
    let routes = membership::list(routes);
    let routes = events::list(routes);
    let routes = state::list(routes);
    let routes = directory::list(routes);
    reading::list(routes)
}
