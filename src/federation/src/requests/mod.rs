//! Requests to other servers, signed and bounded, as one handle.

mod backoff;
mod budget;
mod error;
mod kinds;
mod send;

use std::{path::PathBuf, sync::Arc};

use database::{Clock, Random, Store};
use http::request::Parts as Head;
use ruma::{OwnedServerName, ServerName};
use tokio::sync::broadcast;

use self::budget::Budget;
pub use self::{
    backoff::Backoff,
    error::{FederationError, RemoteError},
    kinds::{AnswerKind, Urgency},
    send::{FederationPath, FederationScheme},
};
use crate::{
    authentication::{Claim, ClaimError},
    client::HttpClient,
    discovery::Discovery,
    keys::{KeyRequests, Keys, ServerKeys},
    policy::ServerPolicy,
};

/// What the operator decides.
#[derive(Clone, Debug)]
pub struct FederationConfig {
    pub policy: ServerPolicy,
    /// Asked for keys whose own server does not answer.
    pub trusted_key_servers: Vec<OwnedServerName>,
    /// Bytes of answers that are in memory at once, over all requests.
    pub answer_bytes: usize,
}

/// Files and networks of the guarded client, as the operator names them.
#[derive(Clone, Debug, Default)]
pub struct OutgoingConfig {
    pub allowed_networks: Vec<ipnet::IpNet>,
    /// PEM files.
    pub ca_certificates: Vec<PathBuf>,
}

/// This server among others. Cheap to clone.
#[derive(Clone)]
pub struct Federation(Arc<Parts>);

struct Parts {
    keys: Keys,
    server_keys: ServerKeys,
    client: HttpClient,
    discovery: Discovery,
    backoff: Backoff,
    policy: ServerPolicy,
    budget: Budget,
    clock: Arc<dyn Clock>,
    /// Servers that did not answer and have sent a request since.
    heard: broadcast::Sender<OwnedServerName>,
}

/// Servers that are noted as heard, and not looked at yet.
const HEARD: usize = 1_024;

impl Federation {
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        keys: Keys,
        client: HttpClient,
        config: FederationConfig,
    ) -> Self {
        let discovery = Discovery::new(client.clone(), clock.clone());
        let requests = KeyRequests {
            client: client.clone(),
            discovery: discovery.clone(),
            policy: config.policy.clone(),
        };
        let server_keys = ServerKeys::new(
            store.clone(),
            clock.clone(),
            random.clone(),
            keys.clone(),
            requests,
            config.trusted_key_servers,
        );
        Self(Arc::new(Parts {
            keys,
            server_keys,
            client,
            discovery,
            backoff: Backoff::new(store, clock.clone(), random),
            policy: config.policy,
            budget: Budget::new(config.answer_bytes),
            clock,
            heard: broadcast::Sender::new(HEARD),
        }))
    }

    pub fn server_name(&self) -> &ServerName {
        self.0.keys.server_name()
    }

    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }

    pub fn server_keys(&self) -> &ServerKeys {
        &self.0.server_keys
    }

    pub fn policy(&self) -> &ServerPolicy {
        &self.0.policy
    }

    /// Which servers are not to be tried, and until when.
    pub fn backoff(&self) -> &Backoff {
        &self.0.backoff
    }

    /// Notes that a server has sent a request whose signature is valid.
    pub fn note_heard(&self, server: &ServerName) {
        if self.0.backoff.is_known_to_fail(server) {
            // Without a receiver nothing waits for it.
            let _ = self.0.heard.send(server.to_owned());
        }
    }

    /// Servers that did not answer, as they send requests again.
    pub fn heard(&self) -> broadcast::Receiver<OwnedServerName> {
        self.0.heard.subscribe()
    }

    /// The JSON of `GET /_matrix/key/v2/server`.
    pub fn key_document(&self) -> Arc<str> {
        self.0.keys.document(&*self.0.clock)
    }

    /// Who claims to have sent a request, before its body is read.
    pub async fn claim(&self, head: &Head) -> Result<Claim, ClaimError> {
        let parts = &*self.0;
        Claim::of(
            head,
            parts.keys.server_name(),
            &parts.policy,
            &parts.server_keys,
        )
        .await
    }
}
