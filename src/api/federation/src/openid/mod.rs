//! Who the bearer of an OpenID token is: server-server API, "OpenID".

mod user_info;

use edge::Routes;

use crate::FederationApi;

pub(crate) fn list(routes: Routes<FederationApi>) -> Routes<FederationApi> {
    routes.add(user_info::user_info)
}
