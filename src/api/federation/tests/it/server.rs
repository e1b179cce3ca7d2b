//! A whole server on the engine in memory: users, rooms, keys, this API. Alone, or one of several on a [`Network`].

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use database::{Inline, Memory, Millis, MockClock, SeededRandom, Store};
use edge::{Body, Edge, EdgeContext, EdgeSettings, Routes};
use federation::{
    Federation, FederationConfig, KeyDocument, Keys, ServerPolicy, client::HttpClient,
};
use federation_api::{Announcement, FederationApi, Signatures};
use http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use media::{
    FederatedMedia, Media, MediaConfig, MediaNeeds,
    storage::{Blocking, Disk, FileStorage},
};
use rooms_remote::{RemoteNeeds, RemoteRooms};
use rooms_testing::{Settings, TestRooms};
use ruma::{OwnedServerName, server_name};
use sender::{Sender, SenderNeeds};
use serde_json::Value;
use tempfile::TempDir;
use users::{NewAccount, Registered, Users};

use crate::network::Network;

pub(crate) struct TestServer {
    pub(crate) rooms: TestRooms,
    pub(crate) users: Users,
    pub(crate) clock: Arc<MockClock>,
    pub(crate) federation: Federation,
    pub(crate) media: Media,
    pub(crate) sender: Sender,
    pub(crate) remote: RemoteRooms,
    edge: Arc<Edge>,
    _folder: TempDir,
}

/// Several servers with one clock, each with the name that the test gives it.
#[derive(Default)]
pub(crate) struct Servers {
    pub(crate) network: Network,
    pub(crate) clock: Arc<MockClock>,
}

/// What a test may want otherwise.
struct Options {
    settings: Settings,
    is_enabled: bool,
    delegated: Option<OwnedServerName>,
    memory: Memory,
}

impl Servers {
    pub(crate) fn new() -> Self {
        let servers = Self::default();
        servers.clock.set(Millis(1_700_000_000_000));
        servers
    }

    /// Starts a server on an empty database.
    pub(crate) async fn start(&self, name: &str) -> TestServer {
        self.start_on(name, &Memory::new()).await
    }

    /// Starts a server on a database that may hold data already: what a restart is.
    pub(crate) async fn start_on(&self, name: &str, memory: &Memory) -> TestServer {
        let settings = Settings {
            seed: name
                .bytes()
                .fold(0, |seed: u64, byte| seed * 31 + u64::from(byte)),
            ..Settings::named(name)
        };
        let options = Options {
            settings,
            is_enabled: true,
            delegated: None,
            memory: memory.clone(),
        };
        let server = TestServer::build(options, self, |routes| routes).await;
        self.network.attach(name, server.edge.clone());
        server
    }

    pub(crate) async fn start_all<const N: usize>(&self, names: [&str; N]) -> [TestServer; N] {
        let mut servers = Vec::new();
        for name in names {
            servers.push(self.start(name).await);
        }
        let Ok(servers) = servers.try_into() else {
            unreachable!("there are as many servers as names");
        };
        servers
    }
}

/// The media of a server, in a folder of its own.
async fn media_of(
    rooms: &TestRooms,
    federation: &Federation,
    client: HttpClient,
    folder: &TempDir,
) -> Media {
    let (clock, tasks) = (rooms.clock.clone(), rooms.tasks.clone());
    let blocking = Blocking::new(4, tasks.clone());
    let files = FileStorage::open(
        folder.path().to_owned(),
        Arc::new(Disk),
        blocking,
        clock.clone(),
    );
    let config = MediaConfig::new(rooms.rooms.server_name().to_owned());
    let remote = FederatedMedia::new(federation.clone(), client, config.max_remote_size);
    let needs = MediaNeeds {
        store: rooms.store.clone(),
        clock,
        random: rooms.random.clone(),
        files: files.await.expect("the folder is made"),
        objects: None,
        remote: Some(Arc::new(remote)),
        scanner: None,
        tasks,
        stop: rooms.stop.clone(),
    };
    Media::open(needs, config).await.expect("media opens")
}

/// Another server, of which there are only its keys.
pub(crate) async fn keys_of(name: &str, clock: &MockClock) -> Keys {
    let random = SeededRandom::new(name.bytes().map(u64::from).sum());
    let name = OwnedServerName::try_from(name).expect("a server name");
    let keys = Keys::open(&Store::memory(), &random, clock, name).await;
    keys.expect("memory does not fail")
}

impl TestServer {
    pub(crate) async fn new() -> Self {
        Self::on(&Memory::new()).await
    }

    pub(crate) async fn on(memory: &Memory) -> Self {
        Self::with(memory, true, |routes| routes).await
    }

    /// With further endpoints, for tests. Nobody else is on its network.
    pub(crate) async fn with(
        memory: &Memory,
        is_enabled: bool,
        add: impl FnOnce(Routes<FederationApi>) -> Routes<FederationApi>,
    ) -> Self {
        let options = Options {
            settings: Settings::default(),
            is_enabled,
            delegated: Some(server_name!("matrix.example.org:443").to_owned()),
            memory: memory.clone(),
        };
        Self::build(options, &Servers::default(), add).await
    }

    async fn build(
        options: Options,
        among: &Servers,
        add: impl FnOnce(Routes<FederationApi>) -> Routes<FederationApi>,
    ) -> Self {
        let clock = among.clock.clone();
        let store = Store::new(Arc::new(options.memory));
        let rooms = TestRooms::open_with(store.clone(), &options.settings, clock.clone()).await;
        let name = options.settings.server_name;
        let denied = ["denied.example".to_owned()];
        let federation = Federation::new(
            store,
            clock.clone(),
            rooms.random.clone(),
            rooms.keys.clone(),
            among.network.client(name.as_str()),
            FederationConfig {
                policy: ServerPolicy::new(name, options.is_enabled, &[], &denied),
                trusted_key_servers: Vec::new(),
                answer_bytes: 8 << 20,
            },
        );
        let settings = EdgeSettings::default();
        let context = EdgeContext::new(
            rooms.users.clone(),
            settings,
            clock.clone(),
            &*rooms.random,
            Arc::new(Inline),
        )
        .with_servers(Arc::new(Signatures(federation.clone())));
        let sender = Sender::open(SenderNeeds {
            rooms: rooms.rooms.clone(),
            typing: rooms.writer.typing().clone(),
            federation: federation.clone(),
            clock: clock.clone(),
            random: rooms.random.clone(),
            tasks: rooms.tasks.clone(),
            stop: rooms.stop.clone(),
        });
        let sender = sender.await.expect("memory does not fail");
        let remote = RemoteRooms::open(RemoteNeeds {
            history: rooms.history.clone(),
            writer: rooms.writer.clone(),
            directory: rooms.directory.clone(),
            federation: federation.clone(),
            clock: clock.clone(),
            random: rooms.random.clone(),
            blocking: Arc::new(Inline),
            tasks: rooms.tasks.clone(),
            stop: rooms.stop.clone(),
        });
        let folder = tempfile::tempdir().expect("a folder");
        let client = among.network.client(rooms.rooms.server_name().as_str());
        let media = media_of(&rooms, &federation, client, &folder).await;
        let routes = add(federation_api::routes(FederationApi {
            users: rooms.users.clone(),
            federation: federation.clone(),
            remote: remote.clone(),
            media: media.clone(),
            random: rooms.random.clone(),
            sender: sender.clone(),
            announcement: Announcement {
                delegated: options.delegated,
                version: "1.2.3".to_owned(),
            },
            clock: clock.clone(),
        }));
        Self {
            users: rooms.users.clone(),
            rooms,
            clock,
            federation,
            media,
            sender,
            remote,
            edge: Arc::new(Edge::new(routes, context)),
            _folder: folder,
        }
    }

    pub(crate) async fn user(&self, name: &str) -> Registered {
        let account = NewAccount {
            user_id: self.users.wanted_name(name).expect("a name"),
            password: None,
            is_admin: false,
            device: None,
        };
        self.users.register(account).await.expect("it registers")
    }

    /// A token for which a user has asked.
    pub(crate) async fn token(&self, user: &Registered) -> String {
        let token = self.users.new_openid_token(user.number).await;
        token.expect("the database works").reveal()
    }

    /// Knows the keys of another server from now on.
    pub(crate) async fn learn(&self, keys: &Keys) {
        let document = KeyDocument::check(&keys.document(&*self.clock), keys.server_name());
        let document = document.expect("it is valid");
        let learned = self.federation.server_keys().learn(&document).await;
        learned.expect("memory does not fail");
    }

    pub(crate) async fn get(&self, uri: &str) -> (StatusCode, Value) {
        let request = Request::builder().uri(uri).body(Vec::new());
        self.send(request.expect("a valid request")).await
    }

    pub(crate) async fn send(&self, request: Request<Vec<u8>>) -> (StatusCode, Value) {
        let request = request.map(Body::from);
        let response = self
            .edge
            .answer(request, IpAddr::V4(Ipv4Addr::LOCALHOST))
            .await;
        let (parts, body) = response.into_parts();
        let bytes = body
            .collect()
            .await
            .expect("bodies are in memory")
            .to_bytes();
        let body = serde_json::from_slice(&bytes).expect("JSON");
        (parts.status, body)
    }

    /// A request of this server to another, signed, with what the other answers.
    pub(crate) async fn ask(&self, other: &Self, method: &str, path: &str) -> (StatusCode, Value) {
        self.ask_with(other, method, path, None).await
    }

    /// The same, with a body.
    pub(crate) async fn ask_with(
        &self,
        other: &Self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let body = body.map(|body| body.to_string().into_bytes());
        let body = body.unwrap_or_default();
        let method = http::Method::from_bytes(method.as_bytes()).expect("a method");
        let key = self.federation.keys().current();
        let name = other.federation.server_name();
        let header = federation::authentication::sign(&key, name, &method, path, &body);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(http::header::AUTHORIZATION, header.expect("it is JSON"))
            .body(body);
        other.send(request.expect("a request")).await
    }
}
