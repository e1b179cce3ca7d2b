//! Builds the server: each part once, from exactly what it needs.

use std::{io, num::NonZero, path::PathBuf, sync::Arc};

use client_api::{AdminRegister, ClientApi, ServerInfo};
use database::{
    BlockingPool, Clock, Millis, Random, Store, StoreError, SystemClock, SystemRandom, migrate,
};
use database_rocksdb::{OpenError, Options, RocksEngine};
use devices::Devices;
use edge::{Edge, EdgeContext, EdgeSettings, TrustedProxies};
use federation::{
    Federation, Keys,
    client::{
        AllowedNetworks, Concurrency, HttpClient, Internet, InternetError, TrustError,
        trusted_certificates,
    },
    dns::{Dns, SystemDns},
};
use federation_api::{Announcement, FederationApi, Signatures};
use media::{
    Media, MediaNeeds, Previews, Scanner,
    storage::{Blocking, Disk, FileStorage},
};
use presence::Presence;
use push::{Push, PushConfig};
use rooms_directory::RoomDirectory;
use rooms_history::History;
use rooms_remote::{RemoteNeeds, RemoteRooms};
use rooms_store::{RoomStore, RoomStoreConfig};
use rooms_writer::{RoomWriter, WriterConfig};
use sync::{Sync, SyncConfig, SyncNeeds};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::{Users, UsersConfig};

use crate::{config::Config, memory::Shares};

/// The changes of stored data since the first release, oldest first. None yet: databases of
/// earlier schemas are from before that release and are refused.
const MIGRATIONS: &[migrate::Migration] = &[];

/// The opened database and the accounts in it: all that the operator's commands need.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) engine: RocksEngine,
    pub(crate) store: Store,
    pub(crate) users: Users,
    pub(crate) media: Media,
    keys: Keys,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// A running server.
pub(crate) struct App {
    pub(crate) edge: Arc<Edge>,
    pub(crate) sync: Sync,
}

/// The server could not be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("`outgoing.ca_certificates`: {0}")]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Internet(#[from] InternetError),
    #[error(transparent)]
    Media(#[from] media::OpenError),
    #[error(transparent)]
    Migration(#[from] migrate::MigrationError<OpenError>),
}

impl Base {
    /// Opens the database, or creates it, and runs pending migrations.
    pub(crate) async fn open(
        config: &Config,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, BuildError> {
        let shares = Shares::of(config);
        let options = Options::new(&config.database.path, tasks.clone())
            .with_server_name(config.server_name.as_str())
            .with_budget(shares.database);
        let engine = blocking(move || RocksEngine::open(&options)).await?;
        let store = engine.store();
        migrate::run(&store, MIGRATIONS, async |name| {
            let engine = engine.clone();
            blocking(move || engine.checkpoint_before(name)).await
        })
        .await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let mut accounts = UsersConfig::new(config.server_name.clone());
        accounts.registration = config.registration();
        accounts.token_cache_bytes = shares.tokens;
        accounts.body_mentions = config.body_mentions();
        accounts.account_data = config.account_data.limits();
        accounts.devices = config.devices.per_user;
        let users = Users::new(
            store.clone(),
            clock.clone(),
            random.clone(),
            accounts,
            tasks.clone(),
        );
        let server_name = config.server_name.clone();
        let keys = Keys::open(&store, &*random, &*clock, server_name).await?;
        let needs = (store.clone(), clock.clone(), random.clone());
        let media = open_media(config, needs, tasks, stop).await?;
        Ok(Self {
            engine,
            store,
            users,
            media,
            keys,
            clock,
            random,
        })
    }

    /// The time so many seconds ago.
    pub(crate) fn now_minus(&self, seconds: u64) -> Millis {
        let millis = seconds.saturating_mul(1000);
        Millis(self.clock.now().0.saturating_sub(millis))
    }

    /// Returns the id of the new key.
    pub(crate) async fn rotate_keys(&self) -> Result<String, StoreError> {
        self.keys
            .rotate(&self.store, &*self.random, &*self.clock)
            .await
    }

    /// This server among others, by way of the one HTTP client.
    async fn federation(&self, config: &Config) -> Result<Federation, BuildError> {
        let outgoing = config.outgoing.settings();
        let files = outgoing.ca_certificates;
        let roots = blocking(move || trusted_certificates(&files)).await?;
        let dns: Arc<dyn Dns> = Arc::new(SystemDns::new());
        let networks = AllowedNetworks(outgoing.allowed_networks);
        let internet = Internet::new(networks, &roots, &dns, self.clock.clone(), &self.random)?;
        Ok(Federation::new(
            self.store.clone(),
            self.clock.clone(),
            self.random.clone(),
            self.keys.clone(),
            HttpClient::new(Arc::new(internet), Concurrency::default()),
            config.federation.settings(&config.server_name),
        ))
    }

    fn federation_api(&self, config: &Config, remote: RemoteRooms) -> FederationApi {
        FederationApi {
            users: self.users.clone(),
            federation: remote.federation().clone(),
            remote,
            announcement: Announcement {
                delegated: config.federation.delegate_to.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            clock: self.clock.clone(),
        }
    }

    /// Authentication, rate limits and body limits of the HTTP layer.
    fn edge_context(
        &self,
        config: &Config,
        federation: &Federation,
        tasks: &TaskTracker,
    ) -> EdgeContext {
        let settings = EdgeSettings {
            rate_limits: config.rate_limits.clone(),
            trusted_proxies: TrustedProxies(config.trusted_proxies.clone()),
            bodies: config.http.bodies(),
            in_flight: Shares::of(config).in_flight,
            query_access_tokens: config.http.query_access_tokens,
            operator: config.support.operator(config.public_base_url()),
        };
        let users = self.users.clone();
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let pool = Arc::new(BlockingPool::new(threads, tasks.clone()));
        let clock = self.clock.clone();
        let context = EdgeContext::new(users, settings, clock, &*self.random, pool);
        if federation.policy().is_enabled() {
            context.with_servers(Arc::new(Signatures(federation.clone())))
        } else {
            context
        }
    }

    async fn presence(
        &self,
        config: &Config,
        rooms: &RoomStore,
        tasks: &TaskTracker,
        quiet: CancellationToken,
    ) -> Result<Presence, StoreError> {
        let settings = config.presence.settings();
        Presence::open(rooms.clone(), self.clock.clone(), &settings, tasks, quiet).await
    }

    /// The rooms: what users may read, and what writes to them. `stop` ends the rooms' writers.
    fn rooms(
        &self,
        config: &Config,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> (History, RoomWriter) {
        let Self {
            store,
            users,
            keys,
            clock,
            random,
            ..
        } = self;
        let shares = Shares::of(config);
        let server_name = config.server_name.clone();
        let rooms = RoomStore::open(
            store.clone(),
            users.clone(),
            RoomStoreConfig {
                server_name,
                event_cache_bytes: shares.events,
                node_cache_bytes: shares.state_nodes,
            },
        );
        let history = History::new(rooms.clone(), clock.clone());
        let writer = RoomWriter::open(
            rooms.clone(),
            clock.clone(),
            random.clone(),
            keys.clone(),
            WriterConfig {
                default_version: config.default_room_version.clone(),
                mailbox: config.rooms.mailbox(),
            },
            tasks.clone(),
            stop,
        );
        (history, writer)
    }
}

impl App {
    /// `quiet` ends the requests that wait for something new; `stop` ends the room writers, after
    /// the last request.
    pub(crate) async fn build(
        config: &Config,
        base: &Base,
        tasks: &TaskTracker,
        quiet: CancellationToken,
        stop: CancellationToken,
    ) -> Result<Self, BuildError> {
        let Base {
            store,
            users,
            media,
            clock,
            random,
            ..
        } = base;
        let shares = Shares::of(config);
        let limits = config.devices.limits(shares.devices);
        let devices = Devices::new(store.clone(), clock.clone(), limits);
        let (history, writer) = base.rooms(config, tasks, stop.clone());
        let rooms = history.rooms().clone();
        let directory = RoomDirectory::new(history.clone(), writer.clone());
        let federation = base.federation(config).await?;
        let remote = RemoteRooms::open(RemoteNeeds {
            history: history.clone(),
            writer: writer.clone(),
            directory: directory.clone(),
            federation: federation.clone(),
            clock: clock.clone(),
            random: random.clone(),
            blocking: Arc::new(BlockingPool::new(checking_threads(), tasks.clone())),
            tasks: tasks.clone(),
            stop,
        });
        let push = Push::open(
            history.clone(),
            &PushConfig {
                cache_bytes: shares.push,
            },
            tasks.clone(),
        );
        let presence = base.presence(config, &rooms, tasks, quiet.clone()).await?;
        let needs = SyncNeeds {
            history: history.clone(),
            typing: writer.typing().clone(),
            devices: devices.clone(),
            push: push.clone(),
            presence: presence.clone(),
        };
        let sync = Sync::open(needs, sync_config(config), tasks, quiet).await?;
        let api = ClientApi {
            users: users.clone(),
            devices,
            rooms,
            history,
            writer,
            directory,
            remote: remote.clone(),
            media: media.clone(),
            previews: Previews::new(media.clone(), None, config.media.previews()),
            push,
            presence,
            sync: sync.clone(),
            server: ServerInfo::new(
                config.public_base_url(),
                config.default_room_version.clone(),
                config.support.support(),
            ),
            admin_register: AdminRegister::new(
                config.registration_secret(),
                clock.clone(),
                random.clone(),
            ),
            turn: config.turn.servers(clock),
        };
        let context = base.edge_context(config, &federation, tasks);
        let federation = base.federation_api(config, remote);
        let routes = client_api::routes(api).and(federation_api::routes(federation));
        let edge = Arc::new(Edge::new(routes, context));
        Ok(Self { edge, sync })
    }
}

fn sync_config(config: &Config) -> SyncConfig {
    SyncConfig {
        cache_bytes: Shares::of(config).sync,
        max_wait: config.sync.longest_wait.into(),
        open_per_device: config.sync.open_per_device,
    }
}

/// Threads that check events of other servers: half of the processor, so that a flood of them
/// leaves the other half to clients.
fn checking_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |all| (all.get() / 2).max(1))
}

/// Runs work that blocks on the disk on a thread that may block, before and after there are tasks
/// to own it.
#[expect(
    clippy::disallowed_methods,
    reason = "it opens and closes what the parts run on"
)]
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Disk operations of media that run at once.
const MEDIA_THREADS: usize = 16;

async fn open_media(
    config: &Config,
    (store, clock, random): (Store, Arc<dyn Clock>, Arc<dyn Random>),
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<Media, media::OpenError> {
    let files = open_files(config.media.path(&config.database.path), &clock, tasks).await?;
    let scanner = config.media.scanner();
    let needs = MediaNeeds {
        store,
        clock,
        random,
        files,
        objects: None,
        remote: None,
        scanner: scanner.map(|scanner| Arc::new(scanner) as Arc<dyn Scanner>),
        tasks: tasks.clone(),
        stop,
    };
    Media::open(needs, config.media.config(config.server_name.clone())).await
}

/// Opens the folder of media files.
pub(crate) async fn open_files(
    path: PathBuf,
    clock: &Arc<dyn Clock>,
    tasks: &TaskTracker,
) -> io::Result<FileStorage> {
    let blocking = Blocking::new(MEDIA_THREADS, tasks.clone());
    FileStorage::open(path, Arc::new(Disk), blocking, clock.clone()).await
}
