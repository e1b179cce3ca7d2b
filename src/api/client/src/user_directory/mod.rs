//! Finding people: client-server API, "User Directory".

mod search;

use edge::Routes;

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes.add(search::search)
}
