//! Answering as a key server (server-server API, "Querying Keys Through Another Server"): the documents of other servers
//! with this server's signature beside their own.

use database::{Millis, Read as _, StoreError};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use ruma::{OwnedServerName, ServerName};

use super::{KeyDocument, ServerKeys, retry::Purpose};
use crate::tables::{SERVER_KEYS, ServerKeysRow};

/// Servers that one query is answered for; others are left out, like servers that do not answer.
const MOST_SERVERS: usize = 100;
/// Servers that are asked at once for one query.
const AT_ONCE: usize = 8;

impl ServerKeys {
    /// For each server the newest document that can be had, valid until the given moment if that is possible. Servers
    /// without any are left out.
    pub async fn as_notary(
        &self,
        queries: Vec<(OwnedServerName, Millis)>,
    ) -> Result<Vec<String>, StoreError> {
        let documents: Vec<Option<String>> = stream::iter(queries.into_iter().take(MOST_SERVERS))
            .map(|(server, until)| async move { self.notarized(&server, until).await })
            .buffered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(documents.into_iter().flatten().collect())
    }

    async fn notarized(
        &self,
        server: &ServerName,
        until: Millis,
    ) -> Result<Option<String>, StoreError> {
        let parts = &self.0;
        if server == parts.own.server_name() {
            return Ok(Some(parts.own.document(&*parts.clock).to_string()));
        }
        if !self.is_fresh(server, until).await? {
            let _flight = parts.flights.enter(server.to_owned()).await;
            let permit = parts.notary_fetches.acquire().await;
            if permit.is_ok() && !self.is_fresh(server, until).await? {
                parts.fetch_from(server, Purpose::Event).await?;
            }
        }
        let Some(row) = self.held(server).await? else {
            return Ok(None);
        };
        let document = KeyDocument::check(&row.document, server);
        Ok(document
            .ok()
            .map(|document| parts.own.current().sign_as_notary(&document)))
    }

    /// A document is passed on for half of its lifetime.
    async fn is_fresh(&self, server: &ServerName, until: Millis) -> Result<bool, StoreError> {
        let Some(row) = self.held(server).await? else {
            return Ok(false);
        };
        let half = row.fetched.midpoint(row.valid_until.max(row.fetched));
        Ok(row.valid_until >= until.0 && self.0.clock.now().0 < half)
    }

    async fn held(&self, server: &ServerName) -> Result<Option<ServerKeysRow>, StoreError> {
        self.0
            .store
            .snapshot()
            .await?
            .get(SERVER_KEYS.at(server.as_str()))
            .await
    }
}
