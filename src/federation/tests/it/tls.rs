//! The transport of a running server, over TLS on loopback. Only time that nobody answers in passes for real.

use std::{
    collections::HashMap,
    io::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use database::{MockClock, Random, SeededRandom, engine::BoxFuture};
use federation::{
    client::{
        AllowedNetworks, ClientError, Concurrency, HttpClient, Internet, Limits, Outgoing, Route,
    },
    dns::{Dns, DnsError, Service},
};
use http::{Request, Response, Version, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

const LIMITS: Limits = Limits {
    head: Duration::from_secs(20),
    stall: Duration::from_secs(20),
    whole: Duration::from_secs(20),
    bytes: 100_000,
};

/// A certificate authority.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("it is valid");
        roots
    }

    fn certify(&self, names: &[&str]) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(names).expect("parameters");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        (certificate.der().clone(), key.into())
    }
}

/// A host on loopback.
struct Host {
    port: u16,
    connections: Arc<AtomicUsize>,
    _task: AbortOnDropHandle<()>,
}

impl Host {
    async fn new(authority: &Authority, names: &[&str], protocols: &[&[u8]]) -> Self {
        let (certificate, key) = authority.certify(names);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("a certificate");
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let task = serve(
            listener,
            TlsAcceptor::from(Arc::new(config)),
            connections.clone(),
        );
        Self {
            port,
            connections,
            _task: AbortOnDropHandle::new(TaskTracker::new().spawn(task)),
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, connections: Arc<AtomicUsize>) {
    let mut tasks = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::SeqCst);
        let acceptor = acceptor.clone();
        tasks.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let (stream, service) = (TokioIo::new(stream), service_fn(answer));
            // An exchange that the client gives up is an error here.
            let _ = if is_h2 {
                conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(stream, service)
                    .await
            } else {
                conn::http1::Builder::new()
                    .serve_connection(stream, service)
                    .await
            };
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let seen = host.or(authority).unwrap_or_default().to_owned();
    let mut response = Response::new(Full::from(seen));
    match request.uri().path() {
        "/large" => *response.body_mut() = Full::from(vec![b'x'; 1 << 20]),
        "/bomb" => {
            let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            bomb.write_all(&vec![0; 64 << 20])?;
            *response.body_mut() = Full::from(bomb.finish()?);
            response.headers_mut().insert(
                header::CONTENT_ENCODING,
                header::HeaderValue::from_static("gzip"),
            );
        }
        "/silence" => std::future::pending::<()>().await,
        path => {
            if let Some(to) = path.strip_prefix("/to/") {
                *response.status_mut() = http::StatusCode::FOUND;
                let to = to
                    .replace('~', "/")
                    .parse()
                    .map_err(std::io::Error::other)?;
                response.headers_mut().insert(header::LOCATION, to);
            }
        }
    }
    Ok(response)
}

/// Names and what they resolve to.
#[derive(Default)]
struct Zone {
    addresses: HashMap<&'static str, Vec<IpAddr>>,
    services: HashMap<&'static str, Vec<Service>>,
}

impl Zone {
    fn with(mut self, name: &'static str, addresses: &[&str]) -> Self {
        let addresses = addresses
            .iter()
            .map(|address| address.parse().expect("an address"));
        self.addresses.insert(name, addresses.collect());
        self
    }
}

impl Dns for Zone {
    fn addresses<'a>(&'a self, host: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, DnsError>> {
        let found = self.addresses.get(host).cloned().ok_or(DnsError::NotFound);
        Box::pin(async move { found })
    }

    fn services<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Service>, DnsError>> {
        let found = self.services.get(name).cloned().ok_or(DnsError::NotFound);
        Box::pin(async move { found })
    }
}

fn client(zone: Zone, roots: &RootCertStore, allowed: &[&str]) -> HttpClient {
    let allowed = allowed
        .iter()
        .map(|network| network.parse().expect("a network"));
    let (dns, random): (Arc<dyn Dns>, Arc<dyn Random>) =
        (Arc::new(zone), Arc::new(SeededRandom::new(1)));
    let clock = Arc::new(MockClock::default());
    let networks = AllowedNetworks(allowed.collect());
    let internet = Internet::new(networks, roots, &dns, clock, &random);
    HttpClient::new(
        Arc::new(internet.expect("a client")),
        Concurrency::default(),
    )
}

async fn get_with(
    client: &HttpClient,
    url: &str,
    change: impl FnOnce(Outgoing) -> Outgoing,
) -> Result<(Version, String), ClientError> {
    let request = Request::get(url).body(Bytes::new()).expect("a request");
    let outgoing = change(Outgoing::new(request, Route::Host, LIMITS).following(3));
    let response = client.send(outgoing).await?;
    let version = response.version();
    let body = response.into_body().collect().await?;
    Ok((version, String::from_utf8_lossy(&body).into_owned()))
}

async fn get(client: &HttpClient, url: &str) -> Result<String, ClientError> {
    Ok(get_with(client, url, |outgoing| outgoing).await?.1)
}

const HTTP1: &[&[u8]] = &[b"http/1.1"];
const LOOPBACK: &[&str] = &["127.0.0.1/32"];

fn zone() -> Zone {
    Zone::default().with("a.example", &["127.0.0.1"])
}

#[tokio::test]
async fn a_host_that_is_allowed_and_certified_is_reached() {
    let authority = Authority::new();
    let host = Host::new(&authority, &["a.example"], HTTP1).await;
    let client = client(zone(), &authority.roots(), LOOPBACK);
    let url = format!("https://a.example:{}/", host.port);
    for _ in 0..3 {
        let seen = get(&client, &url).await;
        assert_eq!(seen, Ok(format!("a.example:{}", host.port)));
    }
    assert_eq!(host.connections(), 1, "connections are reused");
}

#[tokio::test]
async fn addresses_that_are_not_public_are_not_connected_to() {
    let authority = Authority::new();
    let host = Host::new(&authority, &["a.example", "127.0.0.1"], HTTP1).await;
    let client = client(
        zone().with("mapped.example", &["::ffff:127.0.0.1"]),
        &authority.roots(),
        &[],
    );
    for name in [
        "a.example",
        "mapped.example",
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
    ] {
        let refused = get(&client, &format!("https://{name}:{}/", host.port)).await;
        assert!(
            matches!(refused, Err(ClientError::Forbidden(_))),
            "{name}: {refused:?}"
        );
    }
    assert_eq!(host.connections(), 0);
}

#[tokio::test]
async fn of_several_addresses_only_those_that_are_allowed_are_tried() {
    let authority = Authority::new();
    let host = Host::new(&authority, &["a.example"], HTTP1).await;
    let zone = Zone::default().with("a.example", &["10.0.0.1", "::1", "127.0.0.1"]);
    let client = client(zone, &authority.roots(), LOOPBACK);
    assert!(
        get(&client, &format!("https://a.example:{}/", host.port))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_redirect_does_not_lead_where_a_request_may_not_go() {
    let authority = Authority::new();
    let host = Host::new(&authority, &["a.example"], HTTP1).await;
    let zone = zone().with("inside.example", &["127.0.0.2"]);
    let client = client(zone, &authority.roots(), LOOPBACK);
    for to in [
        "https:~~127.0.0.2:1~",
        "https:~~inside.example:1~",
        "https:~~[::1]:1~",
    ] {
        let refused = get(&client, &format!("https://a.example:{}/to/{to}", host.port)).await;
        assert!(
            matches!(refused, Err(ClientError::Forbidden(_))),
            "{to}: {refused:?}"
        );
    }
    let plain = get(
        &client,
        &format!("https://a.example:{}/to/http:~~a.example~", host.port),
    )
    .await;
    assert!(
        matches!(plain, Err(ClientError::InvalidUrl(_))),
        "{plain:?}"
    );
    let fine = format!("https://a.example:{}/to/~elsewhere", host.port);
    assert!(get(&client, &fine).await.is_ok());
}

#[tokio::test]
async fn a_certificate_must_be_trusted_and_for_the_name() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let host = Host::new(&authority, &["b.example"], HTTP1).await;
    let url = format!("https://a.example:{}/", host.port);
    let other_name = client(zone(), &authority.roots(), LOOPBACK);
    let other_authority = client(
        Zone::default().with("b.example", &["127.0.0.1"]),
        &stranger.roots(),
        LOOPBACK,
    );
    let refused = get(&other_name, &url).await;
    assert!(
        matches!(refused, Err(ClientError::Connect(_))),
        "{refused:?}"
    );
    let refused = get(
        &other_authority,
        &format!("https://b.example:{}/", host.port),
    )
    .await;
    assert!(
        matches!(refused, Err(ClientError::Connect(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_is_too_large_or_silent_is_given_up() {
    let authority = Authority::new();
    let host = Host::new(&authority, &["a.example"], HTTP1).await;
    let client = client(zone(), &authority.roots(), LOOPBACK);
    let url = |path: &str| format!("https://a.example:{}/{path}", host.port);
    assert_eq!(
        get(&client, &url("large")).await,
        Err(ClientError::TooLarge(LIMITS.bytes))
    );
    assert_eq!(
        get(&client, &url("bomb")).await,
        Err(ClientError::TooLarge(LIMITS.bytes))
    );
    let impatient = |mut outgoing: Outgoing| {
        outgoing.limits.head = Duration::from_millis(300);
        outgoing
    };
    let silent = get_with(&client, &url("silence"), impatient).await;
    assert!(
        matches!(silent, Err(ClientError::TimedOut(_))),
        "{silent:?}"
    );
}

#[tokio::test]
async fn http2_is_used_where_both_sides_have_it() {
    let authority = Authority::new();
    let host = Host::new(&authority, &["a.example"], &[b"h2", b"http/1.1"]).await;
    let client = client(zone(), &authority.roots(), LOOPBACK);
    let url = format!("https://a.example:{}/", host.port);
    let gets = (0..10).map(|_| get_with(&client, &url, |outgoing| outgoing));
    for answer in futures_util::future::join_all(gets).await {
        assert_eq!(
            answer,
            Ok((Version::HTTP_2, format!("a.example:{}", host.port)))
        );
    }
}

#[tokio::test]
async fn srv_records_lead_elsewhere_but_the_name_stays() {
    let authority = Authority::new();
    let host = Host::new(&authority, &["a.example"], &[b"h2", b"http/1.1"]).await;
    let mut zone = Zone::default().with("b.example", &["127.0.0.1"]);
    let service = Service {
        priority: 0,
        weight: 0,
        port: host.port,
        target: "b.example".to_owned(),
    };
    zone.services
        .insert("_matrix-fed._tcp.a.example", vec![service]);
    let client = client(zone, &authority.roots(), LOOPBACK);
    let by_service = |mut outgoing: Outgoing| {
        outgoing.route = Route::Services;
        outgoing
    };
    let answer = get_with(&client, "https://a.example/", by_service).await;
    assert_eq!(answer, Ok((Version::HTTP_2, "a.example".to_owned())));
}

#[tokio::test]
async fn an_address_as_name_has_its_certificate_and_its_own_host_header() {
    let authority = Authority::new();
    let host = Host::new(&authority, &["127.0.0.1"], &[b"h2", b"http/1.1"]).await;
    let client = client(Zone::default(), &authority.roots(), LOOPBACK);
    let named = |mut outgoing: Outgoing| {
        let name = header::HeaderValue::from_static("127.0.0.1");
        outgoing.request.headers_mut().insert(header::HOST, name);
        outgoing
    };
    let url = format!("https://127.0.0.1:{}/", host.port);
    let answer = get_with(&client, &url, named).await;
    assert_eq!(answer, Ok((Version::HTTP_11, "127.0.0.1".to_owned())));
}

#[tokio::test]
async fn nothing_listens_is_an_error_to_connect() {
    let authority = Authority::new();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .await
        .expect("a port");
    let SocketAddr::V4(address) = listener.local_addr().expect("it is bound") else {
        panic!("it is IPv4");
    };
    drop(listener);
    let client = client(zone(), &authority.roots(), LOOPBACK);
    let refused = get(&client, &format!("https://a.example:{}/", address.port())).await;
    assert!(
        matches!(refused, Err(ClientError::Connect(_))),
        "{refused:?}"
    );
}
