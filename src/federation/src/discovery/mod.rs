//! Where another server is found (server-server API, "Resolving server names").
//!
//! A server name alone decides unless it is a host name without port. Then its `.well-known` may delegate
//! to another name, and SRV records may lead to other hosts. The look-up of SRV records and addresses is
//! left to the moment of connecting (see [`Route::Services`]), where addresses are checked, too.

mod cache;
mod well_known;

use std::sync::Arc;

use bytes::Bytes;
use database::Clock;
use http::{HeaderValue, Request, header::HOST};
use ruma::{OwnedServerName, ServerName};

use self::cache::{Cache, Found};
use crate::{
    client::{HttpClient, Route},
    flights::Flights,
};

pub(crate) use crate::dns::DEFAULT_PORT;

/// What a request to a server has in its URL and its `Host` header. The certificate must be the one of the
/// URL's host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Host and port of the URL.
    pub authority: String,
    /// Where it differs from `authority`.
    pub host_header: Option<String>,
    pub route: Route,
}

/// Finds servers. Cheap to clone.
#[derive(Clone)]
pub struct Discovery(Arc<Parts>);

struct Parts {
    client: HttpClient,
    clock: Arc<dyn Clock>,
    cache: Cache,
    flights: Flights<String>,
}

impl Discovery {
    pub fn new(client: HttpClient, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Parts {
            client,
            clock,
            cache: Cache::new(),
            flights: Flights::new(),
        }))
    }

    /// Always finds something: where nothing delegates, the name itself is the destination.
    pub async fn find(&self, server: &ServerName) -> Destination {
        if server.is_ip_literal() || server.port().is_some() {
            return Destination::named(server);
        }
        match self.delegated(server.host()).await {
            Some(delegated) => Destination::named(&delegated),
            None => Destination::named(server),
        }
    }

    /// What the `.well-known` of a host says, from the cache if that is fresh.
    async fn delegated(&self, host: &str) -> Option<OwnedServerName> {
        let Parts {
            client,
            clock,
            cache,
            flights,
        } = &*self.0;
        if let Found::Fresh(delegated) = cache.get(host, clock.monotonic()) {
            return delegated;
        }
        let _flight = flights.enter(host.to_owned()).await;
        if let Found::Fresh(delegated) = cache.get(host, clock.monotonic()) {
            return delegated;
        }
        let outcome = well_known::fetch(client, host, clock.now()).await;
        cache.put(host, outcome, clock.monotonic())
    }
}

impl Destination {
    /// The destination that a name stands for, delegation aside.
    fn named(name: &ServerName) -> Self {
        let text = name.as_str().to_owned();
        match name.port() {
            Some(_) => Self {
                authority: text,
                host_header: None,
                route: Route::Host,
            },
            None if name.is_ip_literal() => Self {
                authority: format!("{text}:{DEFAULT_PORT}"),
                host_header: Some(text),
                route: Route::Host,
            },
            None => Self {
                authority: text,
                host_header: None,
                route: Route::Services,
            },
        }
    }

    /// Where paths are appended to.
    pub fn base_url(&self) -> String {
        format!("https://{}", self.authority)
    }

    /// The request with the `Host` header of this destination.
    pub(crate) fn addressed(&self, mut request: Request<Bytes>) -> Request<Bytes> {
        let host = self
            .host_header
            .as_ref()
            .and_then(|host| HeaderValue::from_str(host).ok());
        if let Some(host) = host {
            request.headers_mut().insert(HOST, host);
        }
        request
    }
}
