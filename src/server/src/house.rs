//! Builds the house: every part once, from exactly what it needs.

use std::sync::Arc;

use client_api::{AdminRegister, ClientApi, ServerInfo};
use database::{Clock, Random, Store, StoreError, SystemClock, SystemRandom, migrate};
use database_rocksdb::{OpenError, Options, RocksEngine};
use devices::Devices;
use edge::{Edge, Gate, TrustedProxies};
use federation::{
    Federation, Keys,
    client::{
        AllowedNetworks, Concurrency, HttpClient, Internet, InternetError, TrustError,
        trusted_certificates,
    },
    dns::{Dns, SystemDns},
};
use federation_api::{Announcement, FederationApi, Signatures};
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
    keys: Keys,
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
    #[error("`outgoing.ca_certificates`: {0}")]
    Trust(#[from] TrustError),
    #[error(transparent)]
    Internet(#[from] InternetError),
    #[error(transparent)]
    Migration(#[from] migrate::MigrationError<OpenError>),
}

impl Foundation {
    /// Opens the database, or makes it, and brings it to this release's form.
    pub(crate) async fn lay(config: &Config, tasks: &TaskTracker) -> Result<Self, HouseError> {
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
        let server_name = config.server_name.clone();
        let keys = Keys::open(&store, &*random, &*clock, server_name).await?;
        Ok(Self {
            engine,
            store,
            users,
            keys,
            clock,
            random,
        })
    }

    /// Returns the id of the new key.
    pub(crate) async fn rotate_keys(&self) -> Result<String, StoreError> {
        self.keys
            .rotate(&self.store, &*self.random, &*self.clock)
            .await
    }

    /// This server among others, by way of the one HTTP client.
    async fn federation(&self, config: &Config) -> Result<Federation, HouseError> {
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

    fn federation_api(&self, config: &Config, federation: Federation) -> FederationApi {
        FederationApi {
            users: self.users.clone(),
            federation,
            announcement: Announcement {
                delegated: config.federation.delegate_to.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            clock: self.clock.clone(),
        }
    }

    /// Who may come in, how often, and with how much.
    fn gate(&self, config: &Config, federation: &Federation) -> Gate {
        let gate = Gate::new(
            self.users.clone(),
            &config.rate_limits,
            TrustedProxies(config.trusted_proxies.clone()),
            self.clock.clone(),
            &*self.random,
        )
        .with_bodies(config.http.bodies());
        if federation.policy().is_enabled() {
            gate.with_servers(Arc::new(Signatures(federation.clone())))
        } else {
            gate
        }
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
            keys,
            clock,
            random,
            ..
        } = foundation;
        let shares = Shares::of(config);
        let server_name = config.server_name.clone();
        let limits = config.devices.limits(shares.devices);
        let devices = Devices::new(store.clone(), clock.clone(), limits);
        let rooms = Rooms::open(
            store.clone(),
            clock.clone(),
            random.clone(),
            users.clone(),
            keys.clone(),
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
        let federation = foundation.federation(config).await?;
        let gate = foundation.gate(config, &federation);
        let federation = foundation.federation_api(config, federation);
        let routes = client_api::routes(api).and(federation_api::routes(federation));
        let edge = Arc::new(Edge::new(routes, gate));
        Ok(Self { edge, sync })
    }
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
