//! Builds the house: every part once, from exactly what it needs.

use std::{io, path::PathBuf, sync::Arc};

use client_api::{AdminRegister, ClientApi, ServerInfo};
use database::{Clock, Millis, Random, Store, StoreError, SystemClock, SystemRandom, migrate};
use database_rocksdb::{OpenError, Options, RocksEngine};
use devices::Devices;
use edge::{Edge, Gate, TrustedProxies};
use federation::Keys;
use federation_api::FederationApi;
use media::{
    Media, MediaNeeds, Previews, Scanner,
    storage::{Blocking, Disk, FileStorage},
};
use push::{Push, PushConfig};
use rooms::{Rooms, RoomsConfig};
use sync::{Sync, SyncConfig};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::{Users, UsersConfig};

use crate::{config::Config, memory::Shares};

/// The changes of stored data since the first release, oldest first.
const MIGRATIONS: &[migrate::Migration] =
    &[users::user_directory::REBUILD, rooms::REBUILD_OPEN_ROOMS];

/// The ground floor: all that the operator's commands need.
#[derive(Clone)]
pub(crate) struct Foundation {
    pub(crate) engine: RocksEngine,
    pub(crate) store: Store,
    pub(crate) users: Users,
    pub(crate) media: Media,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// Everything that a running server has.
pub(crate) struct House {
    pub(crate) edge: Arc<Edge>,
    pub(crate) sync: Sync,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum HouseError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Media(#[from] media::OpenError),
    #[error(transparent)]
    Migration(#[from] migrate::MigrationError<OpenError>),
}

impl Foundation {
    /// Opens the database, or makes it, and brings it to this release's form. `stop` ends what runs in the background.
    pub(crate) async fn lay(
        config: &Config,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> Result<Self, HouseError> {
        let shares = Shares::of(config);
        let options =
            Options::new(&config.database.path, tasks.clone()).with_budget(shares.database);
        let engine = blocking(move || RocksEngine::open(&options)).await?;
        let store = engine.store();
        migrate::run(&store, MIGRATIONS, async || {
            before_migration(&engine, config).await
        })
        .await?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let random: Arc<dyn Random> = Arc::new(SystemRandom);
        let mut accounts = UsersConfig::new(config.server_name.clone());
        accounts.registration = config.registration();
        accounts.token_cache_bytes = shares.tokens;
        accounts.body_mentions = config.body_mentions();
        let users = Users::new(
            store.clone(),
            clock.clone(),
            random.clone(),
            accounts,
            tasks.clone(),
        );
        let needs = (store.clone(), clock.clone(), random.clone());
        let media = open_media(config, needs, tasks, stop).await?;
        Ok(Self {
            engine,
            store,
            users,
            media,
            clock,
            random,
        })
    }

    /// A moment ago.
    pub(crate) fn now_minus(&self, seconds: u64) -> Millis {
        Millis(
            self.clock
                .now()
                .0
                .saturating_sub(seconds.saturating_mul(1000)),
        )
    }

    /// Who may come in, how often, and with how much.
    fn gate(&self, config: &Config) -> Gate {
        Gate::new(
            self.users.clone(),
            &config.rate_limits,
            TrustedProxies(config.trusted_proxies.clone()),
            self.clock.clone(),
            &*self.random,
        )
        .with_bodies(config.http.bodies())
    }
}

impl House {
    /// `quiet` ends what clients wait for; `stop` ends the rooms' writers, once nobody can write any more.
    pub(crate) async fn build(
        config: &Config,
        foundation: &Foundation,
        tasks: &TaskTracker,
        quiet: CancellationToken,
        stop: CancellationToken,
    ) -> Result<Self, HouseError> {
        let Foundation {
            store,
            users,
            media,
            clock,
            random,
            ..
        } = foundation;
        let shares = Shares::of(config);
        let server_name = config.server_name.clone();
        let keys = Keys::open(store, &**random, &**clock, server_name.clone()).await?;
        let limits = config.devices.limits(shares.devices);
        let devices = Devices::new(store.clone(), clock.clone(), limits);
        let rooms = Rooms::open(
            store.clone(),
            clock.clone(),
            random.clone(),
            users.clone(),
            keys,
            RoomsConfig {
                server_name,
                default_version: config.default_room_version.clone(),
                event_cache_bytes: shares.events,
                node_cache_bytes: shares.state_nodes,
                mailbox: config.rooms.mailbox(),
            },
            tasks.clone(),
            stop,
        );
        let push = Push::open(
            rooms.clone(),
            &PushConfig {
                cache_bytes: shares.push,
            },
            tasks.clone(),
        );
        let settings = SyncConfig {
            cache_bytes: shares.sync,
            max_wait: config.sync.longest_wait.into(),
        };
        let sync = Sync::open(
            rooms.clone(),
            devices.clone(),
            push.clone(),
            settings,
            tasks,
            quiet,
        )
        .await?;
        let api = ClientApi {
            users: users.clone(),
            devices,
            rooms,
            media: media.clone(),
            previews: Previews::new(media.clone(), None, config.media.previews()),
            push,
            sync: sync.clone(),
            server: ServerInfo::new(
                config.public_base_url(),
                config.default_room_version.clone(),
            ),
            admin_register: AdminRegister::new(
                config.registration_secret(),
                clock.clone(),
                random.clone(),
            ),
            turn: config.turn.servers(clock),
        };
        let federation = FederationApi {
            users: users.clone(),
        };
        let routes = client_api::routes(api).and(federation_api::routes(federation));
        let edge = Arc::new(Edge::new(routes, foundation.gate(config)));
        Ok(Self { edge, sync })
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

/// A folder of contents.
pub(crate) async fn open_files(
    path: PathBuf,
    clock: &Arc<dyn Clock>,
    tasks: &TaskTracker,
) -> io::Result<FileStorage> {
    let blocking = Blocking::new(MEDIA_THREADS, tasks.clone());
    FileStorage::open(path, Arc::new(Disk), blocking, clock.clone()).await
}

/// A copy to return to, beside the database.
async fn before_migration(engine: &RocksEngine, config: &Config) -> Result<(), OpenError> {
    let engine = engine.clone();
    let mut folder = config.database.path.clone().into_os_string();
    folder.push(format!(".before-{}", env!("CARGO_PKG_VERSION")));
    blocking(move || engine.checkpoint(folder.as_ref())).await
}

/// What waits for the disk runs where waiting does not hold others up.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
