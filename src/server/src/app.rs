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
use rooms_directory::RoomDirectory;
use rooms_history::History;
use rooms_store::{RoomStore, RoomStoreConfig};
use rooms_writer::{RoomWriter, WriterConfig};
use sync::{Sync, SyncConfig};
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

    /// The rooms: what users may read, and what writes to them. `stop` ends the rooms' writers.
    fn rooms(
        &self,
        config: &Config,
        keys: Keys,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> (History, RoomWriter) {
        let Self {
            store,
            users,
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
            keys,
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
            clock,
            random,
            ..
        } = base;
        let shares = Shares::of(config);
        let server_name = config.server_name.clone();
        let keys = Keys::open(store, &**random, &**clock, server_name.clone()).await?;
        let limits = config.devices.limits(shares.devices);
        let devices = Devices::new(store.clone(), clock.clone(), limits);
        let (history, writer) = base.rooms(config, keys, tasks, stop);
        let rooms = history.rooms().clone();
        let directory = RoomDirectory::new(history.clone(), writer.clone());
        let push = Push::open(
            history.clone(),
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
            history.clone(),
            writer.typing().clone(),
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
            history,
            writer,
            directory,
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
