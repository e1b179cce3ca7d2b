//! Connections of a listener: they are bounded in number, slow heads and stalled readers are
//! disconnected, and shutdown lets requests in flight finish.
//!
//! Hyper's connections are driven directly, not by `axum::serve`, with hyper's smallest read
//! buffer: most connections wait in a long poll, and the buffer is most of the memory of such a
//! connection.

use std::{convert::Infallible, io, net::IpAddr, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::Map};
use http::Request;
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    Body, ConnectionTimeouts, Connections, Edge, Response, connections::ConnectionPermit,
    service::Answering, stall::Watched, tls::Handshake,
};

/// The longest head (request line and headers). The buffer starts at 8 KiB and seldom grows.
pub(crate) const MAX_HEAD: usize = 32 * 1024;

/// Pauses after errors of `accept`, doubled from the first to the last.
const FIRST_BACKOFF: Duration = Duration::from_millis(10);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// Accepts until `shutdown`. Each connection is a task of `tasks`, which then ends after its
/// current request.
pub async fn serve(
    listener: TcpListener,
    edge: Arc<Edge>,
    connections: Connections,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    accept_all(listener, None, edge, connections, tasks, shutdown).await;
}

/// The same over TLS, with HTTP/2 if the acceptor's settings offer it and the client chooses it.
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
    let mut backoff = FIRST_BACKOFF;
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            () = shutdown.cancelled() => return,
        };
        match accepted {
            Ok(None) => backoff = FIRST_BACKOFF,
            Ok(Some((stream, peer, permit))) => {
                backoff = FIRST_BACKOFF;
                let service = PeerService {
                    edge: edge.clone(),
                    peer,
                };
                let timeouts = connections.timeouts;
                let shutdown = shutdown.clone();
                match &tls {
                    None => {
                        let stream = Watched::new(stream, timeouts.stall, permit);
                        tasks.spawn(connection(stream, service, timeouts, shutdown))
                    }
                    Some(tls) => {
                        let handshake = tls.accept(stream);
                        let accepted = Handshake { handshake, permit };
                        let streams = tasks.clone();
                        tasks.spawn(accepted.connection(service, timeouts, streams, shutdown))
                    }
                };
            }
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                let pause = tokio::time::sleep(backoff);
                if shutdown.run_until_cancelled(pause).await.is_none() {
                    return;
                }
                backoff = (2 * backoff).min(MAX_BACKOFF);
            }
        }
    }
}

/// Waits for a permit first: without one, new connections stay in the kernel's queue. `None` for a
/// connection that failed or is one too many from its address, which closes it.
async fn accept(
    listener: &TcpListener,
    connections: &Connections,
) -> io::Result<Option<(TcpStream, IpAddr, ConnectionPermit)>> {
    let total = connections.permit().await;
    let (stream, peer) = match listener.accept().await {
        Ok(accepted) => accepted,
        Err(error) if is_of_one_connection(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(permit) = connections.admit(total, peer.ip()) else {
        tracing::debug!(address = %peer.ip(), "refused a connection: too many from this address");
        return Ok(None);
    };
    // Fails only if the client is gone again.
    Ok(stream
        .set_nodelay(true)
        .is_ok()
        .then_some((stream, peer.ip(), permit)))
}

/// Whether only this connection is affected, and not the listener or the process.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

pub(crate) async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    service: PeerService,
    timeouts: ConnectionTimeouts,
    shutdown: CancellationToken,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeouts.head)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended with an error");
    }
}

/// Answers the requests of one connection.
pub(crate) struct PeerService {
    edge: Arc<Edge>,
    peer: IpAddr,
}

impl Service<Request<Incoming>> for PeerService {
    type Response = Response;
    type Error = Infallible;
    type Future = Map<Answering, fn(Response) -> Result<Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let request = request.map(|body| match body.is_end_stream() {
            true => Body::empty(),
            false => Body::new(body),
        });
        let answering = self.edge.answer(request, self.peer);
        answering.map(Ok::<Response, Infallible> as fn(_) -> _)
    }
}
