//! The sections `federation` and `outgoing`: the servers that this server federates
//! with, and the networks that its requests may reach.

use std::path::PathBuf;

use federation::{FederationConfig, OutgoingConfig, ServerPolicy};
use ipnet::IpNet;
use ruma::OwnedServerName;
use serde::Deserialize;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Federation {
    enabled: bool,
    allow_servers: Vec<String>,
    deny_servers: Vec<String>,
    trusted_key_servers: Vec<OwnedServerName>,
    pub(crate) delegate_to: Option<OwnedServerName>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Outgoing {
    allowed_networks: Vec<IpNet>,
    ca_certificates: Vec<PathBuf>,
}

/// Bytes of answers of other servers in memory at once: that of the largest one at least.
const ANSWER_BYTES: usize = 512 << 20;

impl Default for Federation {
    fn default() -> Self {
        Self {
            enabled: true,
            allow_servers: Vec::new(),
            deny_servers: Vec::new(),
            trusted_key_servers: Vec::new(),
            delegate_to: None,
        }
    }
}

impl Federation {
    pub(crate) fn settings(&self, server_name: &OwnedServerName) -> FederationConfig {
        FederationConfig {
            policy: ServerPolicy::new(
                server_name.clone(),
                self.enabled,
                &self.allow_servers,
                &self.deny_servers,
            ),
            trusted_key_servers: self.trusted_key_servers.clone(),
            answer_bytes: ANSWER_BYTES,
        }
    }
}

impl Outgoing {
    pub(crate) fn settings(&self) -> OutgoingConfig {
        OutgoingConfig {
            allowed_networks: self.allowed_networks.clone(),
            ca_certificates: self.ca_certificates.clone(),
        }
    }
}
