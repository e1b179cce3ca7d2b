//! The only HTTP client of the server. Everything that it fetches was named by somebody else, so every
//! request is bounded: where it may go ([`AllowedNetworks`]), how long it takes, how much it returns
//! ([`Limits`]), and how many run at once ([`Slots`](slots::Slots)).
//!
//! [`HttpClient`] adds the bounds and follows redirects; a [`Transport`] carries one exchange.
//! [`Internet`] is the transport of a running server; a simulation brings its own.

mod body;
mod error;
#[expect(
    clippy::disallowed_types,
    reason = "the one place that knows the HTTP library"
)]
mod internet;
mod networks;
mod redirects;
mod slots;
mod transport;
mod trust;
mod url;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use tokio::time::{Instant, timeout_at};

pub use self::{
    body::Body,
    error::ClientError,
    internet::{Internet, InternetError},
    networks::AllowedNetworks,
    slots::Concurrency,
    transport::{RawBody, Route, Transport},
    trust::{TrustError, trusted_certificates},
    url::Schemes,
};
use self::{redirects::Redirects, slots::Slots};

/// What one exchange may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To connect, send the request and receive the head of the response.
    pub head: Duration,
    /// Between two parts of the response's body.
    pub stall: Duration,
    /// For everything, redirects and body included.
    pub whole: Duration,
    /// Of the response's body, after decompression.
    pub bytes: u64,
}

/// A request with its bounds.
#[derive(Debug)]
pub struct Outgoing {
    /// The URI is absolute. A `Host` header is only set where it differs from the URI's authority.
    pub request: Request<Bytes>,
    pub route: Route,
    pub limits: Limits,
    /// How many redirects are followed; each must lead to HTTPS unless `schemes` allows more.
    pub redirects: u8,
    pub schemes: Schemes,
}

impl Outgoing {
    /// An HTTPS request that follows no redirect.
    pub fn new(request: Request<Bytes>, route: Route, limits: Limits) -> Self {
        Self {
            request,
            route,
            limits,
            redirects: 0,
            schemes: Schemes::Https,
        }
    }

    #[must_use]
    pub fn following(mut self, redirects: u8) -> Self {
        self.redirects = redirects;
        self
    }

    /// Also plain HTTP: for pages that users link to, never between servers.
    #[must_use]
    pub fn with_plain_http(mut self) -> Self {
        self.schemes = Schemes::HttpsAndHttp;
        self
    }
}

/// Sends bounded requests. Cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    transport: Arc<dyn Transport>,
    slots: Arc<Slots>,
}

impl HttpClient {
    pub fn new(transport: Arc<dyn Transport>, concurrency: Concurrency) -> Self {
        Self {
            transport,
            slots: Arc::new(Slots::new(concurrency)),
        }
    }

    /// Returns when the head of the response is there; the body is bounded by what is left of the limits.
    /// Statuses are not errors.
    pub async fn send(&self, outgoing: Outgoing) -> Result<Response<Body>, ClientError> {
        let Outgoing {
            mut request,
            route,
            limits,
            redirects,
            schemes,
        } = outgoing;
        let deadline = Instant::now() + limits.whole;
        let mut redirects = Redirects::new(redirects, schemes);
        loop {
            let (response, slot) = self
                .exchange(&request, route, schemes, limits, deadline)
                .await?;
            if let Some(next) = redirects.next(&request, &response)? {
                request = next;
                continue;
            }
            let (head, body) = response.into_parts();
            let body = Body::new(body, limits, deadline, slot);
            return Ok(Response::from_parts(head, body));
        }
    }

    async fn exchange(
        &self,
        request: &Request<Bytes>,
        route: Route,
        schemes: Schemes,
        limits: Limits,
        deadline: Instant,
    ) -> Result<(Response<RawBody>, slots::Slot), ClientError> {
        let authority = url::check(request.uri(), schemes)?;
        let waiting = self.slots.enter(authority);
        let slot = timeout_at(deadline, waiting)
            .await
            .map_err(|_| ClientError::TimedOut("waiting for a free connection"))??;
        let deadline = deadline.min(Instant::now() + limits.head);
        let exchange = self.transport.exchange(request.clone(), route);
        let response = timeout_at(deadline, exchange)
            .await
            .map_err(|_| ClientError::TimedOut("waiting for the response"))??;
        Ok((response, slot))
    }
}
