//! The keys of other servers: from memory, from the database, else fetched.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use database::{Clock, Millis, Random, Store, StoreError};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ruma::{OwnedServerName, ServerName};
use tokio::{sync::Semaphore, time::timeout};

use super::{
    KeyDocument, Keys, ServerKey,
    fetch::{FetchError, KeyRequests},
    known::Known,
    learn::{Source, learn},
    retry::{Purpose, Retries},
};
use crate::flights::Flights;

/// Servers whose keys are fetched at once for one batch.
const BATCH: usize = 16;
/// Servers whose keys are fetched at once, for all; and of these, for those who ask this server as a notary, which
/// everybody may.
const MOST_FETCHES: usize = 256;
const MOST_NOTARY_FETCHES: usize = 32;
/// How long a fetch waits for others.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A handle, cheap to clone.
#[derive(Clone)]
pub struct ServerKeys(pub(super) Arc<Parts>);

pub(super) struct Parts {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) own: Keys,
    requests: KeyRequests,
    /// Servers that are asked for the keys of others, in order.
    trusted: Vec<OwnedServerName>,
    pub(super) known: Known,
    retries: Retries,
    pub(super) flights: Flights<OwnedServerName>,
    fetches: Semaphore,
    pub(super) notary_fetches: Semaphore,
}

/// A key that is needed to check an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedKey {
    pub server: OwnedServerName,
    pub key_id: String,
    /// The event's `origin_server_ts`; zero where the room version ignores how long keys are valid.
    pub at: Millis,
}

/// The keys of a batch, by server and key id.
pub type FoundKeys = HashMap<(OwnedServerName, String), ServerKey>;

/// Why a request cannot be checked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("the key {key_id} of {server} is not known, or not valid any more")]
    Unknown {
        server: OwnedServerName,
        key_id: String,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an attempt to renew the keys of a server came to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    /// They are there: somebody else has fetched them in the meantime.
    Unneeded,
    /// The server was asked.
    Tried,
    /// It was asked too recently, or may not be asked.
    Skipped,
}

impl ServerKeys {
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        own: Keys,
        requests: KeyRequests,
        trusted: Vec<OwnedServerName>,
    ) -> Self {
        Self(Arc::new(Parts {
            store,
            clock,
            random,
            own,
            requests,
            trusted,
            known: Known::new(),
            retries: Retries::new(),
            flights: Flights::new(),
            fetches: Semaphore::new(MOST_FETCHES),
            notary_fetches: Semaphore::new(MOST_NOTARY_FETCHES),
        }))
    }

    /// A key that needs no network to be found.
    pub async fn known(
        &self,
        server: &ServerName,
        key_id: &str,
    ) -> Result<Option<ServerKey>, StoreError> {
        self.0.known(server, key_id).await
    }

    /// The keys for a batch of events, as far as they can be had. Each server is asked once for all of its keys; trusted
    /// key servers are asked for what its own server does not return.
    pub async fn for_events(&self, wanted: &[WantedKey]) -> Result<FoundKeys, StoreError> {
        let missing = self.0.missing(wanted).await?;
        if !missing.is_empty() {
            let renewals: Vec<_> = stream::iter(missing)
                .map(|(server, keys)| async move {
                    let renewal = self.0.renew(&server, &keys, Purpose::Event).await?;
                    Ok::<_, StoreError>((renewal == Renewal::Tried).then_some(server))
                })
                .buffer_unordered(BATCH)
                .try_collect()
                .await?;
            let tried: Vec<_> = renewals.into_iter().flatten().collect();
            self.0.ask_key_servers(wanted, &tried).await?;
        }
        let mut found = FoundKeys::new();
        for WantedKey { server, key_id, .. } in wanted {
            if let Some(key) = self.0.known(server, key_id).await? {
                found.insert((server.clone(), key_id.clone()), key);
            }
        }
        Ok(found)
    }

    /// The key of a request that has just come in.
    pub async fn for_request(
        &self,
        server: &ServerName,
        key_id: &str,
    ) -> Result<ServerKey, KeyError> {
        let now = self.0.clock.now();
        let is_usable = |key: &ServerKey| key.is_valid_for_requests(now);
        if let Some(key) = self.0.known(server, key_id).await?.filter(is_usable) {
            return Ok(key);
        }
        let wanted = [WantedKey {
            server: server.to_owned(),
            key_id: key_id.to_owned(),
            at: now,
        }];
        let renewal = self.0.renew(server, &wanted, Purpose::Request).await?;
        if renewal == Renewal::Tried {
            self.0
                .ask_key_servers(&wanted, &[server.to_owned()])
                .await?;
        }
        let key = self.0.known(server, key_id).await?.filter(is_usable);
        key.ok_or_else(|| KeyError::Unknown {
            server: server.to_owned(),
            key_id: key_id.to_owned(),
        })
    }

    /// Stores what a server says of its own keys.
    pub async fn learn(&self, document: &KeyDocument) -> Result<(), StoreError> {
        learn(&self.0, document, Source::Server).await
    }
}

impl Parts {
    async fn known(
        &self,
        server: &ServerName,
        key_id: &str,
    ) -> Result<Option<ServerKey>, StoreError> {
        if server == self.own.server_name() {
            return Ok(self.own.for_checks(key_id, self.clock.now()));
        }
        self.known.get(&self.store, server, key_id).await
    }

    /// What is wanted and not there, by server. Keys that the server has ended are final: they are not fetched again.
    async fn missing(
        &self,
        wanted: &[WantedKey],
    ) -> Result<BTreeMap<OwnedServerName, Vec<WantedKey>>, StoreError> {
        let mut missing = BTreeMap::<_, Vec<_>>::new();
        for wanted in wanted {
            if wanted.server != self.own.server_name() && !self.is_there(wanted).await? {
                missing
                    .entry(wanted.server.clone())
                    .or_default()
                    .push(wanted.clone());
            }
        }
        Ok(missing)
    }

    async fn is_there(&self, wanted: &WantedKey) -> Result<bool, StoreError> {
        let known = self.known(&wanted.server, &wanted.key_id).await?;
        Ok(known.is_some_and(|key| key.is_expired() || key.covers(wanted.at)))
    }

    /// Fetches the keys of a server from itself, unless that was tried too recently. Whoever comes second waits for the
    /// first and finds its result.
    async fn renew(
        &self,
        server: &ServerName,
        wanted: &[WantedKey],
        purpose: Purpose,
    ) -> Result<Renewal, StoreError> {
        let _flight = self.flights.enter(server.to_owned()).await;
        if self.missing(wanted).await?.is_empty() {
            return Ok(Renewal::Unneeded);
        }
        self.fetch_from(server, purpose).await
    }

    /// Asks a server for its keys and stores them, unless that was tried too recently. The caller holds the server's flight.
    pub(super) async fn fetch_from(
        &self,
        server: &ServerName,
        purpose: Purpose,
    ) -> Result<Renewal, StoreError> {
        if !self
            .retries
            .wait(server, purpose, self.clock.monotonic())
            .is_zero()
        {
            return Ok(Renewal::Skipped);
        }
        let Ok(Ok(_permit)) = timeout(LONGEST_WAIT, self.fetches.acquire()).await else {
            return Ok(Renewal::Skipped);
        };
        let fetched = self.requests.of_server(server).await;
        let now = self.clock.monotonic();
        match fetched {
            Ok(document) => {
                learn(self, &document, Source::Server).await?;
                self.retries.succeeded(server, now);
            }
            Err(FetchError::NotAllowed | FetchError::Busy) => return Ok(Renewal::Skipped),
            Err(error) => {
                tracing::debug!(server.name = %server, %error, "cannot fetch the keys of a server");
                self.retries.failed(server, now);
            }
        }
        Ok(Renewal::Tried)
    }

    /// Asks the trusted key servers, one after the other, for keys that the servers themselves did not return.
    async fn ask_key_servers(
        &self,
        wanted: &[WantedKey],
        tried: &[OwnedServerName],
    ) -> Result<(), StoreError> {
        for key_server in &self.trusted {
            let mut missing = self.missing(wanted).await?;
            missing.retain(|server, _| tried.contains(server) && server != key_server);
            if missing.is_empty() {
                return Ok(());
            }
            let documents = self.requests.of_others(key_server, &missing).await;
            let documents = match documents {
                Ok(documents) => documents,
                Err(error) => {
                    tracing::debug!(server.name = %key_server, %error, "a key server does not answer");
                    continue;
                }
            };
            for document in documents {
                if missing.contains_key(document.server_name())
                    && self.is_vouched_for(&document, key_server).await?
                {
                    learn(self, &document, Source::KeyServer).await?;
                }
            }
        }
        Ok(())
    }

    /// Whether the key server has signed the document with a key that it publishes now.
    async fn is_vouched_for(
        &self,
        document: &KeyDocument,
        key_server: &ServerName,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        for key_id in document.signers(key_server) {
            let wanted = [WantedKey {
                server: key_server.to_owned(),
                key_id: key_id.clone(),
                at: now,
            }];
            self.renew(key_server, &wanted, Purpose::Request).await?;
            let key = self.known(key_server, &key_id).await?;
            if let Some(key) = key.filter(|key| key.is_valid_for_requests(now))
                && document.is_signed_by(key_server, &key_id, &key)
            {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
