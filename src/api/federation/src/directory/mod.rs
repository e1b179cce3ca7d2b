//! The directory of this server: server-server API, "Published Room Directory".

mod public_rooms;

use edge::Routes;

use crate::FederationApi;

pub(crate) fn list(routes: Routes<FederationApi>) -> Routes<FederationApi> {
    routes.add(public_rooms::get).add(public_rooms::post)
}
