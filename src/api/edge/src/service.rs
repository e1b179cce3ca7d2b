//! From an HTTP request to its answer: find the endpoint, run it, and put on every answer what every answer has.
//!
//! One service instead of a stack of layers. While a handler waits, a request is one boxed future and the few words of
//! [`Answering`].

use std::{
    net::IpAddr,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt as _, future::CatchUnwind};
use http::{HeaderName, Method, Request, request::Parts};

use crate::{
    ApiError, Gate, Payload, Response, Routes,
    call::Exchange,
    cors,
    log::{Entry, RequestId},
    routes::{Outcome, Path, Work},
};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers requests. Shared by all connections.
pub struct Edge {
    tree: matchit::Router<Path>,
    gate: Arc<Gate>,
    requests: AtomicU64,
    panics: AtomicU64,
}

/// An answer in the making.
pub struct Answering {
    edge: Arc<Edge>,
    entry: Entry,
    stage: Stage,
}

enum Stage {
    Running(CatchUnwind<AssertUnwindSafe<Work>>),
    /// Boxed, so that a request that waits does not carry the room for its answer.
    Done(Option<Box<Outcome>>),
}

impl Edge {
    pub fn new<S: Send + Sync + 'static>(routes: Routes<S>, gate: Gate) -> Self {
        Self {
            tree: routes.into_tree(),
            gate: Arc::new(gate),
            requests: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        }
    }

    /// How many requests ended in a panic. Not one should: a panic is a bug that was contained.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// `peer` is the other end of the connection, not yet what a proxy says of it.
    pub fn answer(self: &Arc<Self>, request: Request<Payload>, peer: IpAddr) -> Answering {
        let (parts, payload) = request.into_parts();
        let mut entry = Entry {
            id: RequestId {
                boot: self.gate.boot,
                number: self.requests.fetch_add(1, Ordering::Relaxed),
            },
            method: parts.method.clone(),
            route: "unknown",
            started: self.gate.clock.monotonic(),
        };
        let stage = self.begin(parts, payload, peer, &mut entry);
        Answering {
            edge: self.clone(),
            entry,
            stage,
        }
    }

    fn begin(&self, parts: Parts, payload: Payload, peer: IpAddr, entry: &mut Entry) -> Stage {
        if parts.method == Method::OPTIONS {
            entry.route = "preflight";
            let response = cors::preflight();
            return Stage::Done(Some(Box::new(Outcome {
                response,
                user: None,
                cause: None,
            })));
        }
        let Ok(found) = self.tree.at(parts.uri.path()) else {
            return Stage::refuse(ApiError::unrecognized());
        };
        entry.route = found.value.template;
        let Some(endpoint) = found.value.endpoint(&parts.method) else {
            return Stage::refuse(ApiError::wrong_method());
        };
        let arguments = found
            .params
            .iter()
            .map(|(_, value)| value.to_owned())
            .collect();
        let client = self.gate.proxies.client(peer, &parts.headers);
        let gate = self.gate.clone();
        let work = endpoint(Box::new(Exchange {
            parts,
            payload,
            arguments,
            client,
            gate,
        }));
        Stage::Running(AssertUnwindSafe(work).catch_unwind())
    }

    fn finish(&self, entry: &Entry, outcome: Outcome) -> Response {
        entry.write(&outcome, self.gate.clock.monotonic());
        let mut response = outcome.response;
        let headers = response.headers_mut();
        cors::allow(headers);
        headers.insert(REQUEST_ID, entry.id.header());
        response
    }
}

impl Stage {
    fn refuse(error: ApiError) -> Self {
        Self::Done(Some(Box::new(Outcome::refused(error, None))))
    }
}

impl Future for Answering {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let outcome = match &mut self.stage {
            Stage::Done(outcome) => *outcome.take().expect("no poll after the answer"),
            Stage::Running(work) => match ready!(work.poll_unpin(context)) {
                Ok(outcome) => outcome,
                Err(panic) => {
                    self.edge.panics.fetch_add(1, Ordering::Relaxed);
                    Outcome::refused(ApiError::internal(panic_text(&*panic)), None)
                }
            },
        };
        // Free what the handler held before the answer is written to a slow client.
        self.stage = Stage::Done(None);
        Poll::Ready(self.edge.finish(&self.entry, outcome))
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("no message"))
}
