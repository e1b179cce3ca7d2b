//! Syncing: client-server API, "Syncing".

mod sync;

use edge::Routes;

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes.add(sync::sync)
}
