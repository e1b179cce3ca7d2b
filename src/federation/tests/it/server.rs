//! A server among others, on the engine in memory.

use std::sync::Arc;

use database::{Clock as _, MockClock, SeededRandom, Store};
use federation::{Federation, FederationConfig, Keys, ServerPolicy};
use ruma::{OwnedServerName, ServerName};

use crate::network::{FakeNetwork, json};

pub(crate) const KEYS: &str = "/_matrix/key/v2/server";

pub(crate) struct TestServer {
    pub(crate) name: OwnedServerName,
    pub(crate) federation: Federation,
    pub(crate) store: Store,
    pub(crate) clock: Arc<MockClock>,
    pub(crate) network: FakeNetwork,
}

/// The name of a server that needs no look-up.
pub(crate) fn name(text: &str) -> OwnedServerName {
    OwnedServerName::try_from(text).expect("a server name")
}

impl TestServer {
    pub(crate) async fn new(name: &str, network: &FakeNetwork, clock: &Arc<MockClock>) -> Self {
        Self::trusting(name, network, clock, &[]).await
    }

    /// Its names have ports, so nothing is discovered.
    pub(crate) async fn trusting(
        text: &str,
        network: &FakeNetwork,
        clock: &Arc<MockClock>,
        trusted: &[&ServerName],
    ) -> Self {
        let store = Store::memory();
        let seed = text.bytes().map(u64::from).sum();
        let random = Arc::new(SeededRandom::new(seed));
        let keys = Keys::open(&store, &*random, &**clock, name(text)).await;
        let config = FederationConfig {
            policy: ServerPolicy::new(name(text), true, &[], &["denied.example:*".to_owned()]),
            trusted_key_servers: trusted.iter().map(|name| (*name).to_owned()).collect(),
            answer_bytes: 8 << 20,
        };
        let federation = Federation::new(
            store.clone(),
            clock.clone(),
            random,
            keys.expect("memory does not fail"),
            network.client(),
            config,
        );
        let server = Self {
            name: name(text),
            federation,
            store,
            clock: clock.clone(),
            network: network.clone(),
        };
        server.publish();
        server
    }

    /// Serves its keys.
    pub(crate) fn publish(&self) {
        let federation = self.federation.clone();
        self.network.serve(self.name.as_str(), KEYS, move |_| {
            json(&*federation.key_document())
        });
    }

    /// Is not there any more.
    pub(crate) fn vanish(&self) {
        self.network.remove(self.name.as_str(), KEYS);
    }

    pub(crate) async fn rotate(&self) -> String {
        let random = SeededRandom::new(self.clock.now().0);
        let rotated = self
            .federation
            .keys()
            .rotate(&self.store, &random, &*self.clock)
            .await;
        rotated.expect("memory does not fail")
    }

    pub(crate) fn key_id(&self) -> String {
        use protocol::event::Signer as _;
        self.federation.keys().current().key_id().to_owned()
    }
}
