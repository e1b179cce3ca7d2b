//! Other networks that bridges lead to: client-server API, "Third-party Networks". Bridges are application services, which this
//! server does not have yet: no protocol is known, no room and no user is there for one of another network.

mod locations;
mod protocols;
mod users;

use edge::{ApiError, Routes};

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    let routes = routes.add(protocols::all).add(protocols::one);
    let routes = routes.add(locations::of_protocol).add(locations::of_alias);
    routes.add(users::of_protocol).add(users::of_user)
}

fn unknown_protocol() -> ApiError {
    ApiError::not_found("No bridge speaks this protocol")
}
