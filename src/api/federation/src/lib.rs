//! The server-server API: one folder per module of the spec, one endpoint per file.
//!
//! [`routes`] is the list of all endpoints; [`FederationApi`] is what their handlers may ask for; [`Signatures`] checks the
//! requests of other servers.

mod directory;
mod events;
mod keys;
mod membership;
mod openid;
mod pdus;
mod query;
mod refusal;
mod server;
mod signatures;
mod transaction;

use edge::{FromRef, Routes};

pub use self::{server::Announcement, signatures::Signatures};

/// The parts of the house that endpoints call.
#[derive(Clone)]
pub struct FederationApi {
    pub users: users::Users,
    pub federation: federation::Federation,
    pub remote: rooms_remote::RemoteRooms,
    pub announcement: Announcement,
    pub clock: std::sync::Arc<dyn database::Clock>,
}

/// Every endpoint of the API. A server that does not federate only tells other services who its users are.
pub fn routes(api: FederationApi) -> Routes<FederationApi> {
    let federates = api.federation.policy().is_enabled();
    let routes = openid::list(Routes::new(api));
    if federates {
        let routes = query::list(server::list(keys::list(routes)));
        membership::list(events::list(directory::list(routes)))
    } else {
        routes
    }
}

impl FromRef<FederationApi> for users::Users {
    fn from_ref(api: &FederationApi) -> Self {
        api.users.clone()
    }
}

impl FromRef<FederationApi> for federation::Federation {
    fn from_ref(api: &FederationApi) -> Self {
        api.federation.clone()
    }
}

impl FromRef<FederationApi> for rooms_remote::RemoteRooms {
    fn from_ref(api: &FederationApi) -> Self {
        api.remote.clone()
    }
}

impl FromRef<FederationApi> for rooms_history::History {
    fn from_ref(api: &FederationApi) -> Self {
        api.remote.history().clone()
    }
}

impl FromRef<FederationApi> for rooms_directory::RoomDirectory {
    fn from_ref(api: &FederationApi) -> Self {
        api.remote.directory().clone()
    }
}

impl FromRef<FederationApi> for Announcement {
    fn from_ref(api: &FederationApi) -> Self {
        api.announcement.clone()
    }
}

impl FromRef<FederationApi> for std::sync::Arc<dyn database::Clock> {
    fn from_ref(api: &FederationApi) -> Self {
        api.clock.clone()
    }
}
