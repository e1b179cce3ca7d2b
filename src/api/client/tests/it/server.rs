//! `TestServer`: the house as the binary wires it, on the engine in memory, with randomness that repeats. Requests go through the router in process.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use client_api::{AdminRegister, ClientApi, ServerInfo, Support, Turn, TurnKey};
use database::{BlockingPool, Clock, Inline, Memory, MockClock, Random, SeededRandom, Store};
use devices::{Devices, Limits};
use edge::{Body, Edge, EdgeContext, EdgeSettings, EndpointInfo, RateLimits};
use http::{Request, response::Parts};
use http_body_util::BodyExt as _;
use media::{
    Media, MediaConfig, MediaNeeds, PreviewLimits, Previews,
    storage::{Blocking, Disk, FileStorage},
};
use presence::{Presence, PresenceConfig};
use protocol::push::BodyMentions;
use push::{Push, PushConfig};
use rooms_remote::{RemoteNeeds, RemoteRooms};
use rooms_testing::Handles;
use ruma::{RoomVersionId, server_name};
use serde_json::{Value, json};
use sync::{Sync, SyncConfig, SyncNeeds};
use tempfile::TempDir;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::{AccountDataLimits, Registration};

use crate::database_page::other_servers::nobody_else;
use crate::person::{Answer, User};

pub(crate) const REGISTRATION_SECRET: &str = "the operator's secret";

/// Cheap to clone: every user of a test holds one.
#[derive(Clone)]
pub(crate) struct TestServer {
    pub(crate) clock: Arc<MockClock>,
    /// To inject faults, or to look at what was stored.
    pub(crate) memory: Memory,
    pub(crate) edge: Arc<Edge>,
    /// Of rooms, users and devices.
    pub(crate) store: Store,
    pub(crate) endpoints: Arc<[EndpointInfo]>,
    random: Arc<SeededRandom>,
    pub(crate) media: Media,
    /// Files of media; deleted with the last clone.
    _folder: Arc<TempDir>,
}

/// What a test may want otherwise.
pub(crate) struct TestOptions {
    pub(crate) registration: Registration,
    pub(crate) rate_limits: RateLimits,
    pub(crate) default_room_version: RoomVersionId,
    pub(crate) device_limits: Limits,
    pub(crate) body_mentions: BodyMentions,
    pub(crate) turn: Option<TurnKey>,
    pub(crate) presence: PresenceConfig,
    pub(crate) media: MediaConfig,
    pub(crate) support: Support,
    pub(crate) devices: usize,
    pub(crate) account_data: AccountDataLimits,
}

impl Default for TestOptions {
    fn default() -> Self {
        Self {
            registration: Registration::Open,
            rate_limits: RateLimits {
                enabled: false,
                ..RateLimits::default()
            },
            default_room_version: RoomVersionId::V12,
            device_limits: Limits::default(),
            body_mentions: BodyMentions::Ignored,
            turn: None,
            presence: PresenceConfig::default(),
            media: MediaConfig::new(server_name!("example.org").to_owned()),
            support: Support::default(),
            devices: 1_000,
            account_data: AccountDataLimits::default(),
        }
    }
}

impl TestServer {
    pub(crate) async fn new() -> Self {
        Self::with(TestOptions::default()).await
    }

    pub(crate) async fn with(options: TestOptions) -> Self {
        let (memory, clock) = (Memory::new(), Arc::new(MockClock::default()));
        let random = Arc::new(SeededRandom::new(7));
        let folder = TempDir::new().expect("a temporary folder");
        let needs = (
            clock.clone() as Arc<dyn Clock>,
            random.clone() as Arc<dyn Random>,
        );
        let media = media(&options, &memory, folder.path(), needs).await;
        let api = house(
            &options,
            &memory,
            clock.clone(),
            random.clone(),
            media.clone(),
        )
        .await;
        let settings = EdgeSettings {
            rate_limits: options.rate_limits.clone(),
            ..EdgeSettings::default()
        };
        let pool = Arc::new(BlockingPool::new(2, TaskTracker::new()));
        let (users, store) = (api.users.clone(), api.rooms.store().clone());
        let context = EdgeContext::new(users, settings, clock.clone(), &*random, pool);
        let routes = client_api::routes(api);
        let endpoints = routes.endpoints().into();
        let edge = Arc::new(Edge::new(routes, context));
        Self {
            clock,
            memory,
            edge,
            random,
            endpoints,
            store,
            media,
            _folder: Arc::new(folder),
        }
    }

    /// Registers people, each with one device.
    pub(crate) async fn users<const N: usize>(&self, names: [&str; N]) -> [User; N] {
        let mut people = Vec::with_capacity(N);
        for name in names {
            people.push(self.user(name).await);
        }
        people
            .try_into()
            .unwrap_or_else(|_| unreachable!("as many people as names"))
    }

    pub(crate) async fn user(&self, name: &str) -> User {
        let answer = self
            .post(
                "/v3/register",
                json!({
                    "username": name,
                    "password": User::password_of(name),
                    "auth": { "type": "m.login.dummy" },
                }),
            )
            .await;
        User::logged_in(self, name, &answer.expect_ok())
    }

    /// The same person on one more device.
    pub(crate) async fn device(&self, user: &User) -> User {
        let answer = self
            .post(
                "/v3/login",
                json!({
                    "type": "m.login.password",
                    "identifier": { "type": "m.id.user", "user": user.name },
                    "password": User::password_of(&user.name),
                }),
            )
            .await;
        User::logged_in(self, &user.name, &answer.expect_ok())
    }

    /// A transaction id that no other request has.
    pub(crate) fn transaction(&self) -> String {
        format!("transaction-{}", self.random.u64())
    }

    /// A request without a token.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.request("GET", path, None, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.request("POST", path, None, Some(body.to_string().into_bytes()))
            .await
    }

    /// Any request. A `path` that does not begin with `/_` or `/.` stands below `/_matrix/client`.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Vec<u8>>,
    ) -> Answer {
        let uri = match path.get(..2) {
            Some("/_" | "/.") => path.to_owned(),
            _ => format!("/_matrix/client{path}"),
        };
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = Body::from(body.unwrap_or_default());
        self.answer(request.body(body).expect("a valid request"))
            .await
    }

    pub(crate) async fn answer(&self, request: Request<Body>) -> Answer {
        let (parts, bytes) = self.exchange(request).await;
        Answer::new(parts, &bytes)
    }

    /// Any request, and the answer as it is.
    pub(crate) async fn exchange(&self, request: Request<Body>) -> (Parts, Bytes) {
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
        (parts, bytes)
    }
}

async fn media(
    options: &TestOptions,
    memory: &Memory,
    folder: &Path,
    (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
) -> Media {
    let tasks = TaskTracker::new();
    let blocking = Blocking::new(4, tasks.clone());
    let files = FileStorage::open(
        folder.join("media"),
        Arc::new(Disk),
        blocking,
        clock.clone(),
    );
    let needs = MediaNeeds {
        store: Store::new(Arc::new(memory.clone())),
        clock,
        random,
        files: files.await.expect("the folder is made"),
        objects: None,
        remote: None,
        scanner: None,
        tasks,
        stop: CancellationToken::new(),
    };
    let media = Media::open(needs, options.media.clone()).await;
    media.expect("media opens")
}

async fn house(
    options: &TestOptions,
    memory: &Memory,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    media: Media,
) -> ClientApi {
    let store = Store::new(Arc::new(memory.clone()));
    let default_version = options.default_room_version.clone();
    let mut settings = rooms_testing::Settings::named("example.org");
    settings.default_version = default_version.clone();
    settings.users.registration = options.registration.clone();
    settings.users.body_mentions = options.body_mentions;
    settings.users.devices = options.devices;
    settings.users.account_data = options.account_data;
    let devices = Devices::new(store.clone(), clock.clone(), options.device_limits.clone());
    let handles = Handles::open(store.clone(), &settings, clock.clone(), random.clone()).await;
    let Handles {
        users,
        rooms,
        history,
        writer,
        directory,
        tasks,
        stop,
        ..
    } = handles;
    let federation = nobody_else(&store, clock.clone(), random.clone()).await;
    let remote = RemoteRooms::open(RemoteNeeds {
        history: history.clone(),
        writer: writer.clone(),
        directory: directory.clone(),
        federation,
        clock: clock.clone(),
        random: random.clone(),
        blocking: Arc::new(Inline),
        tasks: tasks.clone(),
        stop: stop.clone(),
    });
    let push = Push::open(history.clone(), &PushConfig::default(), tasks.clone());
    let presence = Presence::open(
        rooms.clone(),
        clock.clone(),
        &options.presence,
        &tasks,
        stop.clone(),
    )
    .await
    .expect("an empty database can be followed");
    let needs = SyncNeeds {
        history: history.clone(),
        typing: writer.typing().clone(),
        devices: devices.clone(),
        push: push.clone(),
        presence: presence.clone(),
    };
    let sync = Sync::open(needs, SyncConfig::default(), &tasks, stop).await;
    ClientApi {
        users,
        devices,
        rooms,
        history,
        writer,
        directory,
        remote,
        previews: Previews::new(media.clone(), None, PreviewLimits::default()),
        media,
        push,
        presence,
        sync: sync.expect("an empty database can be followed"),
        server: ServerInfo::new(
            "https://example.org".to_owned(),
            default_version,
            options.support.clone(),
        ),
        admin_register: AdminRegister::new(
            Some(REGISTRATION_SECRET.to_owned()),
            clock.clone(),
            random,
        ),
        turn: options.turn.clone().map(|key| {
            let uris = vec!["turn:turn.example.org?transport=udp".to_owned()];
            Turn::new(uris, key, Duration::from_hours(1), clock)
        }),
    }
}
