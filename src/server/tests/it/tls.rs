//! Two of the real binaries on loopback, with TLS of their own: they find each other's keys.
//! Everything is on free ports.

use std::{
    io::{BufRead as _, BufReader},
    net::{IpAddr, Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use database::{Random, SeededRandom, SystemClock, engine::BoxFuture};
use federation::{
    KeyDocument,
    client::{
        AllowedNetworks, Concurrency, HttpClient, Internet, Limits, Outgoing, Route,
        trusted_certificates,
    },
    dns::{Dns, DnsError, Service},
};
use http::{Request, Version};
use ruma::OwnedServerName;
use serde_json::Value;
use tempfile::TempDir;

const LIMITS: Limits = Limits {
    head: Duration::from_secs(30),
    stall: Duration::from_secs(30),
    whole: Duration::from_secs(30),
    bytes: 1 << 20,
};

fn aqueduct(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aqueduct"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AQUEDUCT_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder);
    command
}

fn make_certificate(folder: &Path, names: &[&str]) {
    let status = aqueduct(folder)
        .arg("dev-cert")
        .args(names)
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("the binary starts").success());
}

/// A server with a TLS listener on loopback.
struct Server {
    process: Child,
    log: BufReader<ChildStdout>,
    name: OwnedServerName,
}

impl Server {
    fn start(folder: &Path, database: &str) -> Self {
        // Both are bound before either is free again.
        let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [plain, tls] = listeners
            .each_ref()
            .map(|listener| listener.local_addr().expect("it is bound"));
        drop(listeners);
        let name = OwnedServerName::try_from(format!("localhost:{}", tls.port()));
        let name = name.expect("a server name");
        let mut process = aqueduct(folder)
            .arg("serve")
            .env("AQUEDUCT_SERVER_NAME", name.as_str())
            .env("AQUEDUCT_DATABASE__PATH", database)
            .env("AQUEDUCT_LISTEN", plain.to_string())
            .env("AQUEDUCT_TLS__LISTEN", tls.to_string())
            .env("AQUEDUCT_TLS__CERTIFICATE", "dev-certs/localhost.pem")
            .env("AQUEDUCT_TLS__KEY", "dev-certs/localhost-key.pem")
            .env(
                "AQUEDUCT_OUTGOING__ALLOWED_NETWORKS",
                "127.0.0.0/8, ::1/128",
            )
            .env("AQUEDUCT_OUTGOING__CA_CERTIFICATES", "dev-certs/ca.pem")
            .env("AQUEDUCT_LOG__FORMAT", "json")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let log = BufReader::new(process.stdout.take().expect("stdout is piped"));
        let mut server = Self { process, log, name };
        server.wait_until_logged("\"ready\"");
        server
    }

    fn wait_until_logged(&mut self, words: &str) {
        let mut line = String::new();
        while !line.contains(words) {
            line.clear();
            let read = self.log.read_line(&mut line).expect("the log is text");
            assert!(read > 0, "the server ended without `{words}`");
        }
    }

    fn hang_up(&self) {
        let process = self.process.id().to_string();
        let status = Command::new("kill").args(["-HUP", &process]).status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Knows one name.
struct Loopback;

impl Dns for Loopback {
    fn addresses<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<IpAddr>, DnsError>> {
        Box::pin(async { Ok(vec![Ipv4Addr::LOCALHOST.into()]) })
    }

    fn services<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<Service>, DnsError>> {
        Box::pin(async { Err(DnsError::NotFound) })
    }
}

fn client(folder: &Path) -> HttpClient {
    let roots = trusted_certificates(&[folder.join("dev-certs/ca.pem")]).expect("it is valid");
    let networks = AllowedNetworks(vec!["127.0.0.1/32".parse().expect("a network")]);
    let (dns, random): (Arc<dyn Dns>, Arc<dyn Random>) =
        (Arc::new(Loopback), Arc::new(SeededRandom::new(1)));
    let internet = Internet::new(networks, &roots, &dns, Arc::new(SystemClock), &random);
    HttpClient::new(
        Arc::new(internet.expect("a client")),
        Concurrency::default(),
    )
}

async fn get(client: &HttpClient, server: &Server, path: &str) -> (Version, Value) {
    let url = format!("https://{}{path}", server.name);
    let request = Request::get(url).body(Bytes::new()).expect("a request");
    let response = client
        .send(Outgoing::new(request, Route::Host, LIMITS))
        .await;
    let response = response.expect("it answers");
    let version = response.version();
    let body = response.into_body().collect().await.expect("it is small");
    (version, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn two_servers_find_each_other_over_tls() {
    let folder = TempDir::new().expect("a temporary folder");
    make_certificate(folder.path(), &["localhost"]);
    let [one, two] = ["one", "two"].map(|name| Server::start(folder.path(), name));
    let client = client(folder.path());

    let (version, own) = get(&client, &one, "/_matrix/key/v2/server").await;
    assert_eq!(version, Version::HTTP_2);
    KeyDocument::check(&own.to_string(), &one.name).expect("it is signed");

    let path = format!("/_matrix/key/v2/query/{}", two.name);
    let (_, notarized) = get(&client, &one, &path).await;
    let document = &notarized["server_keys"][0];
    KeyDocument::check(&document.to_string(), &two.name).expect("it is that of the other");
    assert!(
        document["signatures"][one.name.as_str()].is_object(),
        "{document}"
    );
}

#[tokio::test]
async fn a_new_certificate_is_used_after_a_hangup() {
    let folder = TempDir::new().expect("a temporary folder");
    make_certificate(folder.path(), &["localhost"]);
    let mut server = Server::start(folder.path(), "data");
    let before = client(folder.path());
    get(&before, &server, "/_matrix/key/v2/server").await;

    // Another authority, which the first client does not trust.
    std::fs::remove_dir_all(folder.path().join("dev-certs")).expect("it is there");
    make_certificate(folder.path(), &["localhost"]);
    server.hang_up();
    server.wait_until_logged("read the TLS certificate again");

    get(&client(folder.path()), &server, "/_matrix/key/v2/server").await;
}

#[test]
fn a_certificate_authority_is_made_once() {
    let folder = TempDir::new().expect("a temporary folder");
    make_certificate(folder.path(), &["localhost", "127.0.0.1"]);
    let certs = folder.path().join("dev-certs");
    let authority = std::fs::read(certs.join("ca.pem")).expect("it is there");
    let first = std::fs::read(certs.join("localhost.pem")).expect("it is there");
    make_certificate(folder.path(), &["localhost"]);

    assert_eq!(
        std::fs::read(certs.join("ca.pem")).expect("it is there"),
        authority
    );
    assert_ne!(
        std::fs::read(certs.join("localhost.pem")).expect("it is there"),
        first
    );
    for name in ["ca-key.pem", "localhost-key.pem"] {
        let metadata = std::fs::metadata(certs.join(name)).expect("it is there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
    }
}
