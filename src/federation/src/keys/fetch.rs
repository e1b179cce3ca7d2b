//! Requests for keys: to the server itself, and to key servers. They are not signed.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header::CONTENT_TYPE};
use ruma::{OwnedServerName, ServerName};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{DocumentError, KeyDocument, WantedKey, document::LARGEST};
use crate::{
    client::{ClientError, HttpClient, Limits, Outgoing},
    discovery::Discovery,
    policy::ServerPolicy,
};

const LIMITS: Limits = Limits {
    head: Duration::from_secs(15),
    stall: Duration::from_secs(10),
    whole: Duration::from_secs(30),
    bytes: LARGEST as u64,
};
/// Of a key server: for many servers at once.
const BATCH_LIMITS: Limits = Limits {
    bytes: 4 << 20,
    ..LIMITS
};

/// What requests for keys need.
#[derive(Clone)]
pub struct KeyRequests {
    pub client: HttpClient,
    pub discovery: Discovery,
    pub policy: ServerPolicy,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FetchError {
    /// By the operator.
    #[error("this server does not federate with it")]
    NotAllowed,
    /// This process has too much to do; it says nothing of the server.
    #[error("there are too many outgoing requests")]
    Busy,
    #[error(transparent)]
    Client(ClientError),
    #[error("it answered with status {0}")]
    Status(StatusCode),
    #[error(transparent)]
    Document(#[from] DocumentError),
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    server_keys: Vec<&'a RawValue>,
}

impl KeyRequests {
    pub(super) async fn of_server(&self, server: &ServerName) -> Result<KeyDocument, FetchError> {
        let path = "/_matrix/key/v2/server";
        let body = self
            .send(server, Method::GET, path, Bytes::new(), LIMITS)
            .await?;
        Ok(KeyDocument::check(&text(&body)?, server)?)
    }

    /// Documents that are malformed, or not signed by their servers, are left out.
    pub(super) async fn of_others(
        &self,
        key_server: &ServerName,
        wanted: &BTreeMap<OwnedServerName, Vec<WantedKey>>,
    ) -> Result<Vec<KeyDocument>, FetchError> {
        let query = |keys: &Vec<WantedKey>| {
            let criteria = keys.iter().map(|wanted| {
                let criterion = json!({ "minimum_valid_until_ts": wanted.at.0 });
                (wanted.key_id.clone(), criterion)
            });
            criteria.collect::<serde_json::Map<_, _>>()
        };
        let servers: serde_json::Map<_, _> = wanted
            .iter()
            .map(|(server, keys)| (server.to_string(), query(keys).into()))
            .collect();
        let body = json!({ "server_keys": servers }).to_string();
        let path = "/_matrix/key/v2/query";
        let answer = self
            .send(key_server, Method::POST, path, body.into(), BATCH_LIMITS)
            .await?;
        let answer = text(&answer)?;
        let batch: Batch<'_> = serde_json::from_str(&answer)
            .map_err(|error| DocumentError::Malformed(error.to_string()))?;
        let documents = batch.server_keys.into_iter().filter_map(|document| {
            let name = server_name(document.get())?;
            KeyDocument::check(document.get(), &name).ok()
        });
        Ok(documents.collect())
    }

    async fn send(
        &self,
        server: &ServerName,
        method: Method,
        path: &str,
        body: Bytes,
        limits: Limits,
    ) -> Result<Bytes, FetchError> {
        if !self.policy.permits(server) {
            return Err(FetchError::NotAllowed);
        }
        let destination = self.discovery.find(server).await;
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", destination.base_url()));
        let request = request.header(CONTENT_TYPE, "application/json").body(body);
        let request = request.map_err(|_| ClientError::InvalidUrl("it is not a URI"))?;
        let outgoing = Outgoing::new(destination.addressed(request), destination.route, limits);
        let response = self.client.send(outgoing).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        Ok(response.into_body().collect().await?)
    }
}

fn text(body: &[u8]) -> Result<String, DocumentError> {
    let text = str::from_utf8(body).map_err(|error| DocumentError::Malformed(error.to_string()))?;
    Ok(text.to_owned())
}

/// Whose document it claims to be.
fn server_name(document: &str) -> Option<OwnedServerName> {
    #[derive(Deserialize)]
    struct Named {
        server_name: OwnedServerName,
    }

    serde_json::from_str::<Named>(document)
        .ok()
        .map(|named| named.server_name)
}

impl From<ClientError> for FetchError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Busy => Self::Busy,
            error => Self::Client(error),
        }
    }
}
