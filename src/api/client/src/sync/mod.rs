//! Syncing: client-server API, "Syncing".

mod sync;

pub(crate) use self::sync::refuse;

use edge::Routes;

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes.add(sync::sync)
}
