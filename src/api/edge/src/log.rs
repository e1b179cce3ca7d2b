//! The request log: one line per request, named by the route's template, so that no id, token or
//! query is written to disk by accident.

use std::{fmt, time::Duration};

use http::{HeaderValue, Method};
use http_body::Body as _;

use crate::{ApiError, Response, User};

/// Unique in the life of a database: the process, and a count. Sent as `x-request-id`.
#[derive(Clone, Copy)]
pub(crate) struct RequestId {
    pub(crate) boot: u32,
    pub(crate) number: u64,
}

/// A request before its response.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) id: RequestId,
    pub(crate) method: Method,
    /// By the monotonic clock.
    pub(crate) started: Duration,
}

/// A response, and what the request log shows of it.
pub(crate) struct Outcome {
    pub(crate) response: Response,
    pub(crate) user: Option<User>,
    /// Of an internal error.
    pub(crate) cause: Option<Box<str>>,
}

impl Outcome {
    pub(crate) fn refused(mut error: ApiError, user: Option<User>) -> Self {
        let cause = error.take_cause();
        Self {
            response: error.to_response(),
            user,
            cause,
        }
    }
}

impl Entry {
    /// `route` is the template of the endpoint's path.
    pub(crate) fn write(&self, route: &'static str, outcome: &Outcome, now: Duration) {
        let id = tracing::field::display(self.id);
        let status = outcome.response.status().as_u16();
        if let Some(cause) = outcome.cause.as_deref() {
            let method = self.method.as_str();
            tracing::error!(
                request.id = id,
                method,
                route,
                status,
                cause,
                "request failed"
            );
        }
        tracing::info!(
            target: "requests",
            {
                request.id = id,
                method = self.method.as_str(),
                route,
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
