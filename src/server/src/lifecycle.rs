//! A server's life: start, serve, drain, close. The first signal lets requests in flight finish, a second one does not wait.

use std::{io, net::SocketAddr, time::Duration};

use database::{Position, Stamp, StoreError, server_log};
use edge::{Connections, serve};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::Config,
    control,
    house::{Foundation, House, HouseError, blocking},
    limits, memory, welcome,
};

/// How long the server's log of changes is kept for followers in memory, and how often it is trimmed.
const LOG_AGE: Duration = Duration::from_mins(10);

#[derive(Debug, thiserror::Error)]
pub(crate) enum LifeError {
    #[error("cannot listen on {address}: {error}")]
    Listen {
        address: SocketAddr,
        error: io::Error,
    },
    #[error(transparent)]
    House(#[from] HouseError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("an essential part of the server failed: {0}")]
    Failed(&'static str),
}

/// Runs until a signal, or until an essential part fails.
pub(crate) async fn run(config: Config) -> Result<(), LifeError> {
    limits::raise_open_files();
    memory::return_unused();
    let mut signals = Signals::new()?;
    let listeners = bind(&config.listen).await?;
    let life = Life::default();
    let foundation = Foundation::lay(&config, &life.tasks, life.stop.clone()).await?;
    let house = House::build(
        &config,
        &foundation,
        &life.tasks,
        life.quiet.clone(),
        life.stop.clone(),
    )
    .await?;
    control::listen(&config, &foundation, &life.tasks, &life.quiet)?;
    life.tasks
        .spawn(trim_log(foundation.clone(), life.quiet.clone()));
    let serving = life.serve(&config, listeners, &house);
    welcome::print(&config);
    let end = tokio::select! {
        () = signals.next() => Ok(()),
        () = house.sync.failed() => Err(LifeError::Failed("the follower of the log")),
        () = foundation.engine.stopped() => Err(LifeError::Failed("the database")),
        () = any_ended(serving) => Err(LifeError::Failed("a listener")),
    };
    if let Err(error) = &end {
        tracing::error!(%error, "stopping");
    }
    tokio::select! {
        () = life.drain(&config) => {}
        () = signals.next() => tracing::warn!("stopping without waiting for requests in flight"),
    }
    drop(house);
    close(foundation).await;
    end
}

/// Who runs, and how they are told to stop.
#[derive(Default)]
struct Life {
    /// Connections and their requests.
    visits: TaskTracker,
    /// Everything else.
    tasks: TaskTracker,
    /// No new requests; those who wait are answered.
    quiet: CancellationToken,
    /// Nobody writes any more.
    stop: CancellationToken,
}

impl Life {
    fn serve(
        &self,
        config: &Config,
        listeners: Vec<TcpListener>,
        house: &House,
    ) -> Vec<JoinHandle<()>> {
        let connections = Connections::new(config.http.max_connections, config.http.patience());
        let serve_on = |listener| {
            let (edge, visits) = (house.edge.clone(), self.visits.clone());
            let serving = serve(
                listener,
                edge,
                connections.clone(),
                visits,
                self.quiet.clone(),
            );
            self.visits.spawn(serving)
        };
        listeners.into_iter().map(serve_on).collect()
    }

    async fn drain(&self, config: &Config) {
        tracing::info!("stopping: requests in flight may finish");
        self.quiet.cancel();
        self.visits.close();
        let patience = config.http.shutdown_timeout();
        if tokio::time::timeout(patience, self.visits.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                requests = self.visits.len(),
                "some requests did not finish in time"
            );
        }
        self.stop.cancel();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(tasks = self.tasks.len(), "some tasks did not stop in time");
        }
    }
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

async fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, LifeError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses.iter().copied() {
        let listener = TcpListener::bind(address).await;
        listeners.push(listener.map_err(|error| LifeError::Listen { address, error })?);
    }
    Ok(listeners)
}

/// Ends when the first of them does, which none should.
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

/// Drops what no follower needs any more: those in memory are never ten minutes behind, and durable ones keep their own place.
async fn trim_log(foundation: Foundation, quiet: CancellationToken) {
    let published = foundation.store.published();
    let mut old: Option<Stamp> = None;
    while quiet
        .run_until_cancelled(tokio::time::sleep(LOG_AGE))
        .await
        .is_some()
    {
        let now = *published.borrow();
        if let Some(stamp) = old.replace(now) {
            let trimmed: Result<(), StoreError> =
                server_log::trim(&foundation.store, Position::first_of(stamp)).await;
            if let Err(error) = trimmed {
                tracing::warn!(%error, "cannot trim the log of changes");
            }
        }
    }
}

/// Closes the database, which writes what is not in its files yet.
async fn close(foundation: Foundation) {
    let wal_synced = foundation.engine.wal_synced();
    blocking(move || drop(foundation)).await;
    tracing::info!(wal_synced, "database closed");
}
