//! Rooms: client-server API, "Rooms", with receipts, read markers, typing and the directory.

mod create;
mod directory;
mod events;
mod membership;
mod reading;
mod refusal;
mod relations;
mod state;

use edge::Routes;

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    let routes = routes.add(create::create);
    let routes = membership::list(routes);
    let routes = events::list(routes);
    let routes = relations::list(routes);
    let routes = state::list(routes);
    let routes = directory::list(routes);
    reading::list(routes)
}
