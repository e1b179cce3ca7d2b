//! What the server publishes about itself: client-server API, "API Versions", "Server Discovery", "Capabilities negotiation".

mod capabilities;
mod support;
mod versions;
mod well_known;

use std::sync::Arc;

use edge::Routes;
use ruma::{RoomVersionId, api::client::discovery::discover_support::Contact};

use crate::ClientApi;

/// Settings of the operator that clients may see. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerInfo(Arc<Facts>);

#[derive(Debug)]
struct Facts {
    public_base_url: String,
    default_room_version: RoomVersionId,
    support: Support,
}

/// Whom users and other operators may ask for help.
#[derive(Clone, Debug, Default)]
pub struct Support {
    pub contacts: Vec<Contact>,
    /// The URL of a page.
    pub page: Option<String>,
}

impl ServerInfo {
    /// `public_base_url` is where clients reach this server, such as `https://matrix.example.org`.
    pub fn new(
        public_base_url: String,
        default_room_version: RoomVersionId,
        support: Support,
    ) -> Self {
        Self(Arc::new(Facts {
            public_base_url,
            default_room_version,
            support,
        }))
    }

    pub(crate) fn support(&self) -> &Support {
        &self.0.support
    }

    pub(crate) fn public_base_url(&self) -> &str {
        &self.0.public_base_url
    }

    pub(crate) fn default_room_version(&self) -> &RoomVersionId {
        &self.0.default_room_version
    }
}

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes
        .add(versions::versions)
        .add(capabilities::capabilities)
        .add(well_known::well_known)
        .add(support::support)
}
