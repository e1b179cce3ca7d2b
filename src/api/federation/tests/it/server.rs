//! A server that has nothing but users, keys and this API. Nobody else is on its network.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use database::engine::BoxFuture;
use database::{Inline, Memory, MockClock, SeededRandom, Store};
use edge::{Edge, Gate, Payload, RateLimits, Routes, TrustedProxies};
use federation::{
    Federation, FederationConfig, KeyDocument, Keys, ServerPolicy,
    client::{ClientError, Concurrency, HttpClient, RawBody, Route, Transport},
};
use federation_api::{Announcement, FederationApi, Signatures};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use rooms_remote::{RemoteNeeds, RemoteRooms};
use rooms_testing::{Handles, Settings};
use ruma::{OwnedServerName, server_name};
use serde_json::Value;
use users::{NewAccount, Registered, Users};

pub(crate) struct TestServer {
    pub(crate) users: Users,
    pub(crate) clock: Arc<MockClock>,
    pub(crate) federation: Federation,
    edge: Arc<Edge>,
}

/// Nobody answers.
struct Silence;

impl Transport for Silence {
    fn exchange(
        &self,
        _: Request<bytes::Bytes>,
        _: Route,
    ) -> BoxFuture<'_, Result<Response<RawBody>, ClientError>> {
        Box::pin(async { Err(ClientError::Connect("nobody is there".to_owned())) })
    }
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

    /// With further endpoints, for tests.
    pub(crate) async fn with(
        memory: &Memory,
        is_enabled: bool,
        add: impl FnOnce(Routes<FederationApi>) -> Routes<FederationApi>,
    ) -> Self {
        let clock = Arc::new(MockClock::default());
        let random = Arc::new(SeededRandom::new(7));
        let settings = Settings::default();
        let store = Store::new(Arc::new(memory.clone()));
        let name = settings.server_name.clone();
        let handles = Handles::open(store.clone(), &settings, clock.clone(), random.clone()).await;
        let users = handles.users.clone();
        let keys = Keys::open(&store, &*random, &*clock, name.clone()).await;
        let denied = ["denied.example".to_owned()];
        let federation = Federation::new(
            store,
            clock.clone(),
            random.clone(),
            keys.expect("memory does not fail"),
            HttpClient::new(Arc::new(Silence), Concurrency::default()),
            FederationConfig {
                policy: ServerPolicy::new(name, is_enabled, &[], &denied),
                trusted_key_servers: Vec::new(),
                answer_bytes: 1 << 20,
            },
        );
        let gate = Gate::new(
            users.clone(),
            &RateLimits::default(),
            TrustedProxies::default(),
            clock.clone(),
            &*random,
        )
        .with_servers(Arc::new(Signatures(federation.clone())));
        let remote = RemoteRooms::open(RemoteNeeds {
            history: handles.history,
            writer: handles.writer,
            directory: handles.directory,
            federation: federation.clone(),
            clock: clock.clone(),
            random: random.clone(),
            blocking: Arc::new(Inline),
            tasks: handles.tasks,
            stop: handles.stop,
        });
        let routes = add(federation_api::routes(FederationApi {
            users: users.clone(),
            federation: federation.clone(),
            remote,
            announcement: Announcement {
                delegated: Some(server_name!("matrix.example.org:443").to_owned()),
                version: "1.2.3".to_owned(),
            },
            clock: clock.clone(),
        }));
        Self {
            users,
            clock,
            federation,
            edge: Arc::new(Edge::new(routes, gate)),
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
        let request = request.map(|body| Payload::Ready(body.into()));
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
}
