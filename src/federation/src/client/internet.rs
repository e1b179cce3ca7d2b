//! The transport of a running server: reqwest over rustls, with a resolver of our own that returns only
//! permitted addresses. What was checked is what is connected to, so a name cannot be rebound in between.

use std::{
    collections::HashMap,
    error::Error,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use database::{Clock, Random, engine::BoxFuture};
use http::{Request, Response, header::HOST};
use http_body_util::BodyExt as _;
use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect::Policy,
};
use rustls::RootCertStore;

use super::{AllowedNetworks, ClientError, RawBody, Route, Transport, error::with_causes, trust};
use crate::dns::{Dns, DnsError, addresses, services};

/// For name resolution, TCP and TLS together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
const KEEP: Duration = Duration::from_secs(60);
/// Unused connections that are kept for each destination.
const KEPT_PER_DESTINATION: usize = 2;
/// Destinations whose connections are kept. Those of others are closed after their request.
const KEPT_DESTINATIONS: usize = 2048;
const LARGEST_HEAD: u32 = 64 * 1024;
const MOST_HEADERS: usize = 100;

/// HTTP over the network.
pub struct Internet {
    networks: AllowedNetworks,
    clients: HashMap<Kind, Client>,
    clock: Arc<dyn Clock>,
    /// When each destination was last used, by scheme, host and port.
    kept: Mutex<HashMap<(Kind, String), Duration>>,
}

#[derive(Debug, thiserror::Error)]
pub enum InternetError {
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("cannot set up the HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// Reqwest decides these for a client as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Kind {
    route: Route,
    version: Version,
    reuse: Reuse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Version {
    Negotiated,
    /// HTTP/2 has no room for a `Host` that differs from the URL.
    Http1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reuse {
    Kept,
    Closed,
}

impl Internet {
    pub fn new(
        networks: AllowedNetworks,
        roots: &RootCertStore,
        dns: &Arc<dyn Dns>,
        clock: Arc<dyn Clock>,
        random: &Arc<dyn Random>,
    ) -> Result<Self, InternetError> {
        let mut clients = HashMap::new();
        for route in [Route::Host, Route::Services] {
            let resolver = Arc::new(GuardedResolver {
                networks: networks.clone(),
                dns: dns.clone(),
                random: random.clone(),
                route,
            });
            for version in [Version::Negotiated, Version::Http1] {
                for reuse in [Reuse::Kept, Reuse::Closed] {
                    let kind = Kind {
                        route,
                        version,
                        reuse,
                    };
                    clients.insert(kind, kind.client(resolver.clone(), roots.clone())?);
                }
            }
        }
        Ok(Self {
            networks,
            clients,
            clock,
            kept: Mutex::default(),
        })
    }

    /// Hosts that are addresses are never resolved, so they are checked here.
    fn check_literal(&self, url: &Url) -> Result<(), ClientError> {
        let host = url.host_str().unwrap_or_default();
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        match address {
            Some(address) if !self.networks.permits(address) => {
                Err(ClientError::Forbidden(address))
            }
            _ => Ok(()),
        }
    }

    fn client(&self, route: Route, version: Version, url: &Url) -> &Client {
        let mut kind = Kind {
            route,
            version,
            reuse: Reuse::Kept,
        };
        let now = self.clock.monotonic();
        let destination = (kind, url.origin().ascii_serialization());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_DESTINATIONS && !kept.contains_key(&destination) {
            kept.retain(|_, used| now.saturating_sub(*used) < KEEP);
        }
        if kept.len() < KEPT_DESTINATIONS || kept.contains_key(&destination) {
            kept.insert(destination, now);
        } else {
            kind.reuse = Reuse::Closed;
        }
        drop(kept);
        self.clients
            .get(&kind)
            .expect("a client of every kind is made at the start")
    }
}

impl Kind {
    fn client(
        self,
        resolver: Arc<GuardedResolver>,
        roots: RootCertStore,
    ) -> Result<Client, InternetError> {
        let protocols: &[&[u8]] = match self.version {
            Version::Negotiated => &[b"h2", b"http/1.1"],
            Version::Http1 => &[b"http/1.1"],
        };
        let kept = match self.reuse {
            Reuse::Kept => KEPT_PER_DESTINATION,
            Reuse::Closed => 0,
        };
        let builder = Client::builder()
            .tls_backend_preconfigured(trust::tls(roots, protocols)?)
            .dns_resolver(resolver)
            .no_proxy()
            .redirect(Policy::none())
            .referer(false)
            .user_agent(concat!("Aqueduct/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(KEEP)
            .pool_max_idle_per_host(kept)
            .http1_max_headers(MOST_HEADERS)
            .http2_max_header_list_size(LARGEST_HEAD);
        let builder = match self.version {
            Version::Negotiated => builder,
            Version::Http1 => builder.http1_only(),
        };
        Ok(builder.build()?)
    }
}

impl Transport for Internet {
    fn exchange(
        &self,
        request: Request<Bytes>,
        route: Route,
    ) -> BoxFuture<'_, Result<Response<RawBody>, ClientError>> {
        Box::pin(async move {
            let version = match request.headers().contains_key(HOST) {
                true => Version::Http1,
                false => Version::Negotiated,
            };
            let request = reqwest::Request::try_from(request)
                .map_err(|_| ClientError::InvalidUrl("it cannot be parsed"))?;
            self.check_literal(request.url())?;
            let client = self.client(route, version, request.url());
            let response = client
                .execute(request)
                .await
                .map_err(|error| failure(&error))?;
            let response: Response<reqwest::Body> = response.into();
            Ok(response.map(|body| body.map_err(|error| failure(&error)).boxed_unsync()))
        })
    }
}

fn failure(error: &reqwest::Error) -> ClientError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(Refused(address)) = error.downcast_ref() {
            return ClientError::Forbidden(*address);
        }
        cause = error.source();
    }
    if error.is_timeout() {
        ClientError::TimedOut("connecting")
    } else if error.is_connect() {
        ClientError::Connect(with_causes(error))
    } else {
        ClientError::Interrupted(with_causes(error))
    }
}

/// Resolves names for reqwest.
struct GuardedResolver {
    networks: AllowedNetworks,
    dns: Arc<dyn Dns>,
    random: Arc<dyn Random>,
    route: Route,
}

/// All addresses of a name are ones that may not be connected to; this is one of them.
#[derive(Debug, thiserror::Error)]
#[error("{0} is not a public address")]
struct Refused(IpAddr);

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (dns, random) = (self.dns.clone(), self.random.clone());
        let (networks, route) = (self.networks.clone(), self.route);
        Box::pin(async move {
            let found = match route {
                // The port is that of the URL.
                Route::Host => addresses(&*dns, name.as_str(), 0).await,
                Route::Services => services(&*dns, &*random, name.as_str()).await,
            }?;
            let permitted = permitted(&networks, found)?;
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}

fn permitted(
    networks: &AllowedNetworks,
    found: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    let Some(first) = found.first().copied() else {
        return Err(DnsError::NotFound.into());
    };
    let permitted: Vec<_> = found
        .into_iter()
        .filter(|address| networks.permits(address.ip()))
        .collect();
    if permitted.is_empty() {
        return Err(Refused(first.ip()).into());
    }
    Ok(permitted)
}
