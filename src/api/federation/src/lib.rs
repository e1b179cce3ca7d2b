//! The server-server API: one folder per module of the spec, one endpoint per file. So far what other services ask of this server
//! without being one.
//!
//! [`routes`] is the list of all endpoints; [`FederationApi`] is what their handlers may ask for.

mod openid;

use edge::{FromRef, Routes};

/// The parts of the house that endpoints call.
#[derive(Clone)]
pub struct FederationApi {
    pub users: users::Users,
}

/// Every endpoint of the API.
pub fn routes(api: FederationApi) -> Routes<FederationApi> {
    openid::list(Routes::new(api))
}

impl FromRef<FederationApi> for users::Users {
    fn from_ref(api: &FederationApi) -> Self {
        api.users.clone()
    }
}
