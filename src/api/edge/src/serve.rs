//! HTTP/1.1 on a listener: connections are bounded in number, slow heads and stalled readers are cut off, shutdown lets what runs
//! finish.
//!
//! Hyper's connection is driven directly, with its smallest read buffer: most connections wait in a long poll, and this is
//! most of what such a one costs.

use std::{convert::Infallible, io, net::IpAddr, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::Map};
use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{Edge, Payload, Response, service::Answering, stall::Watched, tls};

/// The longest head (request line and headers); the buffer starts at 8 KiB and seldom grows.
pub(crate) const LONGEST_HEAD: usize = 32 * 1024;

/// How long the accept loop rests when the process has no file descriptors left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Bounds on all connections of a server, over all of its listeners.
#[derive(Clone)]
pub struct Connections {
    slots: Arc<Semaphore>,
    patience: Patience,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To send a request's head; also how long a connection may idle between requests.
    pub head: Duration,
    /// To take 16 KiB of an answer.
    pub stall: Duration,
}

impl Connections {
    pub fn new(most: usize, patience: Patience) -> Self {
        let slots = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
        Self { slots, patience }
    }
}

/// Accepts until `shutdown`; each connection is a task of `tasks` and ends by itself after its current request.
pub async fn serve(
    listener: TcpListener,
    edge: Arc<Edge>,
    connections: Connections,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    accept_all(listener, None, edge, connections, tasks, shutdown).await;
}

/// The same over TLS. HTTP/2 is spoken where the acceptor's settings offer it and the client chooses it.
pub async fn serve_tls(
    listener: TcpListener,
    tls: TlsAcceptor,
    edge: Arc<Edge>,
    connections: Connections,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    accept_all(listener, Some(tls), edge, connections, tasks, shutdown).await;
}

async fn accept_all(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    edge: Arc<Edge>,
    connections: Connections,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = shutdown.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer, slot)) => {
                let visitor = Visitor {
                    edge: edge.clone(),
                    peer,
                };
                let patience = connections.patience;
                let shutdown = shutdown.clone();
                match &tls {
                    None => tasks.spawn(connection(stream, visitor, patience, shutdown, slot)),
                    Some(tls) => {
                        let handshake = tls.accept(stream);
                        tasks.spawn(tls::connection(
                            handshake,
                            visitor,
                            patience,
                            tasks.clone(),
                            shutdown,
                            slot,
                        ))
                    }
                };
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// A slot first: where there is none, new connections wait in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    connections: &Connections,
) -> io::Result<(TcpStream, IpAddr, OwnedSemaphorePermit)> {
    let slot = connections
        .slots
        .clone()
        .acquire_owned()
        .await
        .map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, peer.ip(), slot))
}

pub(crate) async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    visitor: Visitor,
    patience: Patience,
    shutdown: CancellationToken,
    _slot: OwnedSemaphorePermit,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_buf_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(Watched::new(stream, patience.stall)), visitor);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

/// The other end of one connection.
pub(crate) struct Visitor {
    edge: Arc<Edge>,
    peer: IpAddr,
}

impl Service<Request<Incoming>> for Visitor {
    type Response = Response;
    type Error = Infallible;
    type Future = Map<Answering, fn(Response) -> Result<Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let answering = self.edge.answer(request.map(Payload::Network), self.peer);
        answering.map(Ok::<Response, Infallible> as fn(_) -> _)
    }
}
