//! The lifecycle of the server: start, serve, drain, close. The first signal lets requests in
//! flight finish; a second one stops without waiting.

use std::{io, net::SocketAddr, time::Duration};

use database::{Position, Stamp, StoreError, server_log};
use edge::{ConnectionLimits, Connections, TrustedProxies, serve, serve_tls};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    app::{App, Base, BuildError, blocking},
    banner,
    config::Config,
    control, limits, memory, service_manager,
    tls::{self, TlsError},
};

/// How often the server's log of changes is trimmed, and the age that entries reach at least. The
/// followers whose cursor is in memory are never that far behind.
const LOG_AGE: Duration = Duration::from_mins(10);

/// Why the server ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LifecycleError {
    #[error("cannot listen on {address}: {error}")]
    Listen {
        address: SocketAddr,
        error: io::Error,
    },
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("an essential part of the server failed: {0}")]
    Failed(&'static str),
}

/// Runs until a signal, or until an essential part fails.
pub(crate) async fn run(config: Config) -> Result<(), LifecycleError> {
    limits::raise_open_files();
    memory::return_unused();
    let mut signals = Signals::new()?;
    let listeners = Listeners {
        plain: bind(&config.listen).await?,
        tls: bind(&config.tls.listen).await?,
    };
    let tasks = Tasks::default();
    let tls = tls::start(&config, &tasks.background, tasks.drain.clone()).await?;
    let base = Base::open(&config, &tasks.background, tasks.stop.clone()).await?;
    let app = App::build(
        &config,
        &base,
        &tasks.background,
        tasks.drain.clone(),
        tasks.stop.clone(),
    )
    .await?;
    control::listen(&config, &base, &tasks.background, &tasks.drain)?;
    tasks
        .background
        .spawn(trim_log(base.clone(), tasks.drain.clone()));
    service_manager::keep_watchdog_alive(&tasks.background, tasks.stop.clone());
    let serving = tasks.serve(&config, listeners, tls.as_ref(), &app);
    service_manager::ready();
    banner::print(&config);
    let end = tokio::select! {
        () = signals.next() => Ok(()),
        () = app.sync.failed() => Err(LifecycleError::Failed("the follower of the log")),
        () = base.engine.stopped() => Err(LifecycleError::Failed("the database")),
        () = any_ended(serving) => Err(LifecycleError::Failed("a listener")),
    };
    if let Err(error) = &end {
        tracing::error!(%error, "stopping");
    }
    service_manager::stopping();
    tokio::select! {
        () = tasks.drain(&config) => {}
        () = signals.next() => tracing::warn!("stopping without waiting for requests in flight"),
    }
    drop(app);
    close(base).await;
    end
}

/// All tasks of the server, and the tokens that stop them.
#[derive(Default)]
struct Tasks {
    /// Connections and their requests.
    connections: TaskTracker,
    /// Everything else.
    background: TaskTracker,
    /// Accepts no new requests and answers those that wait for something new.
    drain: CancellationToken,
    /// Stops the room writers and the followers.
    stop: CancellationToken,
}

impl Tasks {
    fn serve(
        &self,
        config: &Config,
        listeners: Listeners,
        tls: Option<&TlsAcceptor>,
        app: &App,
    ) -> Vec<JoinHandle<()>> {
        let connection_limits = ConnectionLimits {
            total: limits::connections(config.http.max_connections),
            per_address: config.http.max_connections_per_address,
            trusted_proxies: TrustedProxies(config.trusted_proxies.clone()),
        };
        let connections = Connections::new(connection_limits, config.http.timeouts());
        let serve_on = |listener| {
            let (edge, tracker) = (app.edge.clone(), self.connections.clone());
            let serving = serve(
                listener,
                edge,
                connections.clone(),
                tracker,
                self.drain.clone(),
            );
            self.connections.spawn(serving)
        };
        let mut serving: Vec<_> = listeners.plain.into_iter().map(serve_on).collect();
        // Without settings for TLS there are no such listeners.
        for (listener, tls) in listeners.tls.into_iter().zip(tls.into_iter().cycle()) {
            let tls = tls.clone();
            let (edge, tracker) = (app.edge.clone(), self.connections.clone());
            let (connections, drain) = (connections.clone(), self.drain.clone());
            let secured = serve_tls(listener, tls, edge, connections, tracker, drain);
            serving.push(self.connections.spawn(secured));
        }
        serving
    }

    async fn drain(&self, config: &Config) {
        tracing::info!("stopping: waiting for requests in flight");
        self.drain.cancel();
        self.connections.close();
        let limit = config.http.shutdown_timeout();
        if tokio::time::timeout(limit, self.connections.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                requests = self.connections.len(),
                "some requests did not finish in time"
            );
        }
        self.stop.cancel();
        self.background.close();
        if tokio::time::timeout(limit, self.background.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                tasks = self.background.len(),
                "some tasks did not stop in time"
            );
        }
    }
}

/// Bound, and not served yet.
struct Listeners {
    plain: Vec<TcpListener>,
    tls: Vec<TcpListener>,
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self {
            terminate,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, LifecycleError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses.iter().copied() {
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.map_err(|error| LifecycleError::Listen { address, error })?);
    }
    Ok(listeners)
}

/// Returns when the first listener ends. None does while the server is healthy.
async fn any_ended(mut serving: Vec<JoinHandle<()>>) {
    std::future::poll_fn(|context| {
        let ended = serving
            .iter_mut()
            .any(|task| std::pin::Pin::new(task).poll(context).is_ready());
        if ended {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

/// Trims entries of the log of changes that are below the cursors of all followers.
async fn trim_log(base: Base, drain: CancellationToken) {
    let published = base.store.published();
    let mut old: Option<Stamp> = None;
    while drain
        .run_until_cancelled(tokio::time::sleep(LOG_AGE))
        .await
        .is_some()
    {
        let now = *published.borrow();
        if let Some(stamp) = old.replace(now) {
            let trimmed: Result<(), StoreError> =
                server_log::trim(&base.store, Position::first_of(stamp)).await;
            if let Err(error) = trimmed {
                tracing::warn!(%error, "could not trim the log of changes; will retry");
            }
        }
    }
}

/// Closes the database, which flushes its buffers.
async fn close(base: Base) {
    let wal_synced = base.engine.wal_synced();
    blocking(move || drop(base)).await;
    tracing::info!(wal_synced, "database closed");
}
