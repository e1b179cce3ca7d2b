//! Builds the server: each part once, from exactly what it needs.

use std::sync::Arc;

use client_api::{AdminRegister, ClientApi, ServerInfo};
use database::{Clock, Random, Store, StoreError, SystemClock, SystemRandom, migrate};
use database_rocksdb::{OpenError, Options, RocksEngine};
use devices::Devices;
use edge::{Edge, Gate, TrustedProxies};
use federation::Keys;
use federation_api::FederationApi;
use push::{Push, PushConfig};
use rooms::{Rooms, RoomsConfig};
use sync::{Sync, SyncConfig};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::{Users, UsersConfig};

use crate::{config::Config, memory::Shares};

/// Migrations of stored data since the first release, oldest first.
const MIGRATIONS: &[migrate::Migration] =
    &[users::user_directory::REBUILD, rooms::REBUILD_OPEN_ROOMS];

/// The opened database and the accounts in it: all that the operator's commands need.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) engine: RocksEngine,
    pub(crate) store: Store,
    pub(crate) users: Users,
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
    #[error(transparent)]
    Migration(#[from] migrate::MigrationError<OpenError>),
}

impl Base {
    /// Opens the database, or creates it, and runs pending migrations.
    pub(crate) async fn open(config: &Config, tasks: &TaskTracker) -> Result<Self, BuildError> {
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
        Ok(Self {
            engine,
            store,
            users,
            clock,
            random,
        })
    }

    /// Authentication, rate limits and body limits of the HTTP layer.
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
            clock,
            random,
            ..
        } = base;
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
        let edge = Arc::new(Edge::new(routes, base.gate(config)));
        Ok(Self { edge, sync })
    }
}

/// Takes a checkpoint beside the database, to return to if a migration goes wrong.
async fn before_migration(engine: &RocksEngine, config: &Config) -> Result<(), OpenError> {
    let engine = engine.clone();
    let mut folder = config.database.path.clone().into_os_string();
    folder.push(format!(".before-{}", env!("CARGO_PKG_VERSION")));
    blocking(move || engine.checkpoint(folder.as_ref())).await
}

/// Runs work that blocks on the disk on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
