//! Questions about users and aliases of this server: server-server API, "Querying for information".

mod directory;
mod profile;

use edge::Routes;

use crate::FederationApi;

pub(crate) fn list(routes: Routes<FederationApi>) -> Routes<FederationApi> {
    routes.add(profile::profile).add(directory::directory)
}
