//! A connection over TLS: the handshake, then HTTP/2 or HTTP/1.1, whichever was negotiated.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::Request;
use hyper::{
    body::Incoming,
    rt::Executor,
    server::conn::http2,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{Accept, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    ConnectionTimeouts,
    connections::ConnectionPermit,
    serve::{self, MAX_HEAD, PeerService},
    stall::Watched,
};

/// Requests of one connection at once.
const MOST_STREAMS: u32 = 128;

/// A connection that begins.
pub(crate) struct Handshake {
    pub(crate) handshake: Accept<TcpStream>,
    pub(crate) permit: ConnectionPermit,
}

impl Handshake {
    /// `tasks` run the requests of HTTP/2.
    pub(crate) async fn connection(
        self,
        service: PeerService,
        timeouts: ConnectionTimeouts,
        tasks: TaskTracker,
        shutdown: CancellationToken,
    ) {
        let accepted = timeout(timeouts.head, self.handshake);
        let stream = match shutdown.run_until_cancelled(accepted).await {
            Some(Ok(Ok(stream))) => stream,
            Some(Ok(Err(error))) => {
                tracing::debug!(%error, "a TLS handshake failed");
                return;
            }
            Some(Err(_)) | None => return,
        };
        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let stream = Watched::new(stream, timeouts.stall, self.permit);
        if is_http2 {
            http2(stream, service, timeouts, tasks, shutdown).await;
        } else {
            serve::connection(stream, service, timeouts, shutdown).await;
        }
    }
}

/// A connection without requests ends after the same time as one of HTTP/1.1.
async fn http2(
    stream: Watched<TlsStream<TcpStream>, ConnectionPermit>,
    service: PeerService,
    timeouts: ConnectionTimeouts,
    tasks: TaskTracker,
    shutdown: CancellationToken,
) {
    let requests = Arc::new(Use::default());
    let counted = requests.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let running = Running::new(&counted);
        let answering = service.call(request);
        async move {
            let _running = running;
            answering.await
        }
    });
    let connection = http2::Builder::new(Tasks(tasks))
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD).unwrap_or(u32::MAX))
        .keep_alive_interval(timeouts.stall)
        .keep_alive_timeout(timeouts.stall)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = requests.idle(timeouts.head) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

/// Requests of a connection: how many began, and how many ended.
#[derive(Default)]
struct Use {
    begun: AtomicU64,
    ended: AtomicU64,
}

struct Running(Arc<Use>);

impl Use {
    /// Ends when no request ran for so long.
    async fn idle(&self, patience: Duration) {
        let mut before = None;
        loop {
            let begun = self.begun.load(Ordering::Relaxed);
            let is_idle = begun == self.ended.load(Ordering::Relaxed);
            if is_idle && before == Some(begun) {
                return;
            }
            before = is_idle.then_some(begun);
            tokio::time::sleep(patience).await;
        }
    }
}

impl Running {
    fn new(counted: &Arc<Use>) -> Self {
        counted.begun.fetch_add(1, Ordering::Relaxed);
        Self(counted.clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// Runs the requests of a connection as tasks of the server.
#[derive(Clone)]
struct Tasks(TaskTracker);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, request: F) {
        self.0.spawn(request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_no_request_ran_for_a_while() {
        let (requests, patience) = (Arc::new(Use::default()), Duration::from_mins(1));
        let running = Running::new(&requests);
        assert!(
            timeout(10 * patience, requests.idle(patience))
                .await
                .is_err()
        );
        drop(running);
        assert!(timeout(2 * patience, requests.idle(patience)).await.is_ok());
    }
}
