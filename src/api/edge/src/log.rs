//! The request log: one line per request, named by the route's template, so that no id, token or query is written to disk
//! by accident.

use std::{fmt, time::Duration};

use http::{HeaderValue, Method};
use http_body::Body as _;

use crate::routes::Outcome;

/// Unique in the life of a database: which process, and which of its requests. Told to the client as `x-request-id`.
#[derive(Clone, Copy)]
pub(crate) struct RequestId {
    pub(crate) boot: u32,
    pub(crate) number: u64,
}

/// What is known of a request before it is answered.
pub(crate) struct Entry {
    pub(crate) id: RequestId,
    pub(crate) method: Method,
    pub(crate) route: &'static str,
    /// By the monotonic clock.
    pub(crate) started: Duration,
}

impl Entry {
    pub(crate) fn write(&self, outcome: &Outcome, now: Duration) {
        let id = tracing::field::display(self.id);
        let status = outcome.response.status().as_u16();
        if let Some(cause) = &outcome.cause {
            let (route, method) = (self.route, self.method.as_str());
            tracing::error!(
                request.id = id,
                method,
                route,
                status,
                cause = &**cause,
                "request failed"
            );
        }
        tracing::info!(
            target: "requests",
            {
                request.id = id,
                method = self.method.as_str(),
                route = self.route,
                status,
                duration_ms = now.saturating_sub(self.started).as_secs_f64() * 1e3,
                bytes = outcome.response.body().size_hint().lower(),
                user.id = outcome.user.as_ref().map(|user| user.user_id.as_str()),
            },
            "request"
        );
    }
}

impl RequestId {
    pub(crate) fn header(self) -> HeaderValue {
        let text = self.to_string();
        HeaderValue::try_from(text).expect("hexadecimal digits and a dash make a header value")
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}-{:x}", self.boot, self.number)
    }
}
