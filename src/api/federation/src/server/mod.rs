//! What this server says of itself: server-server API, "Server discovery" and "Server implementation".

mod version;
mod well_known;

use edge::Routes;
use ruma::OwnedServerName;

use crate::FederationApi;

/// Where other servers find this one, and what it is.
#[derive(Clone, Debug, Default)]
pub struct Announcement {
    /// The server name that `.well-known/matrix/server` delegates to, if this server answers it.
    pub delegated: Option<OwnedServerName>,
    /// The version of the software.
    pub version: String,
}

pub(crate) fn list(routes: Routes<FederationApi>) -> Routes<FederationApi> {
    routes.add(version::version).add(well_known::well_known)
}
