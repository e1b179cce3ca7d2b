//! From an HTTP request to its response: axum's router finds and runs the endpoint.

use std::{
    convert::Infallible,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use axum::{Router, extract::Request, routing::future::RouteFuture};
use http::Method;
use tower_service::Service as _;

use crate::{
    ApiError, Class, EdgeContext, Response, Routes, Rule,
    call::Arrival,
    cors,
    log::{Entry, Outcome, RequestId},
};

/// Answers requests. Shared by all connections.
pub struct Edge {
    router: Router,
    context: Arc<EdgeContext>,
    requests: AtomicU64,
}

/// The response to one request, in the making. There is no middleware: a waiting request is axum's
/// future, and in it the endpoint's.
pub struct Answering(RouteFuture<Infallible>);

impl Edge {
    pub fn new<S: Send + Sync + 'static>(routes: Routes<S>, context: EdgeContext) -> Self {
        let router = routes
            .into_router()
            .fallback(unknown_path)
            .method_not_allowed_fallback(wrong_method);
        Self {
            // Turns handlers into services once, not for each request.
            router: router.with_state(()),
            context: Arc::new(context),
            requests: AtomicU64::new(0),
        }
    }

    /// Requests that ended in a panic. More than none is a bug.
    pub fn panics(&self) -> u64 {
        self.context.panics()
    }

    /// Bytes of request bodies and responses that are in memory.
    pub fn bytes_in_flight(&self) -> usize {
        self.context.budget.in_flight()
    }

    /// `peer` is the other end of the connection, which may be a proxy.
    pub fn answer(&self, mut request: Request, peer: IpAddr) -> Answering {
        let entry = Entry {
            id: RequestId {
                boot: self.context.boot,
                number: self.requests.fetch_add(1, Ordering::Relaxed),
            },
            method: request.method().clone(),
            started: self.context.clock.monotonic(),
        };
        let arrival = Arrival {
            context: self.context.clone(),
            client: self.context.proxies.client(peer, request.headers()),
            entry,
            rule: Rule::default(),
            has_parameters: false,
        };
        request.extensions_mut().insert(arrival);
        Answering(self.router.clone().call(request))
    }
}

impl Future for Answering {
    type Output = Response;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let polled = Pin::new(&mut self.0).poll(context);
        polled.map(|response| response.unwrap_or_else(|never| match never {}))
    }
}

async fn unknown_path(request: Request) -> Response {
    outside_endpoints(request, ApiError::unrecognized())
}

async fn wrong_method(request: Request) -> Response {
    outside_endpoints(request, ApiError::wrong_method())
}

/// CORS preflights are free; other requests that match no endpoint are charged to the address.
fn outside_endpoints(request: Request, error: ApiError) -> Response {
    let (mut head, _) = request.into_parts();
    let arrival = match Arrival::take(&mut head) {
        Ok(arrival) => arrival,
        Err(error) => return error.to_response(),
    };
    if head.method == Method::OPTIONS {
        let outcome = Outcome {
            response: cors::preflight(),
            user: None,
            cause: None,
        };
        return arrival.finish("preflight", outcome);
    }
    let charged = arrival.context.charge(Class::General, None, arrival.client);
    let error = charged.err().unwrap_or(error);
    arrival.finish("unknown", Outcome::refused(error, None))
}
