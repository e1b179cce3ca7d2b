//! `RawCall<R>`: a request whose handler reads the body itself, for uploads.

use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use ruma::api::{IncomingRequest, Metadata};
use tokio::time::{Instant, timeout_at};

use crate::{
    ApiError, Caller, ClientAddress, Payload, Rule, Scheme, User, body,
    call::{self, Exchange},
};

/// A client must send this much in each period of the stall timeout, or the rest of the body.
const PROGRESS_BYTES: usize = 16 * 1024;

/// A request that passed authentication and rate limits, with its body still to be read. `request` is decoded from path, query and
/// headers alone, so `R` is a request type with a raw body or none.
pub struct RawCall<R: Metadata<Authentication: Scheme>> {
    pub caller: <R::Authentication as Scheme>::Caller,
    pub request: R,
    pub client: ClientAddress,
    pub head: Parts,
    pub body: BodyStream,
}

/// The body of a request, a chunk at a time: bounded in bytes, and cut off if it stalls.
#[derive(Debug)]
pub struct BodyStream {
    body: Payload,
    limit: usize,
    received: usize,
    stall_timeout: Duration,
    /// When the current period ends, and the bytes it has seen.
    deadline: Instant,
    progress: usize,
}

impl<R> RawCall<R>
where
    R: IncomingRequest + Metadata<Authentication: Scheme>,
{
    pub(crate) async fn read(exchange: Box<Exchange>, rule: Rule) -> Result<Self, ApiError> {
        let Exchange {
            parts,
            payload,
            arguments,
            client,
            gate,
        } = *exchange;
        let caller = call::admit::<R::Authentication>(&gate, &parts, client, rule).await?;
        let limit = gate.bodies.bytes(rule.body);
        let body = BodyStream::new(payload, limit, gate.bodies.timeout)?;
        let request = call::parse(parts.clone(), &Bytes::new(), &arguments)?;
        Ok(Self {
            caller,
            request,
            client,
            head: parts,
            body,
        })
    }

    pub(crate) fn user(&self) -> Option<&User> {
        self.caller.user()
    }
}

impl BodyStream {
    fn new(body: Payload, limit: usize, stall_timeout: Duration) -> Result<Self, ApiError> {
        let announced = match &body {
            Payload::Network(body) => body.size_hint().lower(),
            Payload::Ready(bytes) => bytes.len() as u64,
        };
        if usize::try_from(announced).unwrap_or(usize::MAX) > limit {
            return Err(body::too_large(limit));
        }
        Ok(Self {
            body,
            limit,
            received: 0,
            stall_timeout,
            deadline: Instant::now() + stall_timeout,
            progress: 0,
        })
    }

    /// The next chunk; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let body = match &mut self.body {
            Payload::Ready(bytes) => {
                let bytes = std::mem::take(bytes);
                self.received += bytes.len();
                return Ok((!bytes.is_empty()).then_some(bytes));
            }
            Payload::Network(body) => body,
        };
        loop {
            let frame = timeout_at(self.deadline, body.frame()).await;
            let Some(frame) = frame.map_err(|_| timed_out())? else {
                return Ok(None);
            };
            let frame = frame.map_err(|_| ApiError::bad_json("The request's body was cut off"))?;
            // Trailers.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.received = self.received.saturating_add(data.len());
            if self.received > self.limit {
                return Err(body::too_large(self.limit));
            }
            self.progress += data.len();
            if self.progress >= PROGRESS_BYTES {
                self.progress = 0;
                self.deadline = Instant::now() + self.stall_timeout;
            }
            return Ok(Some(data));
        }
    }

    /// Bytes so far.
    pub fn received(&self) -> usize {
        self.received
    }
}

fn timed_out() -> ApiError {
    ApiError::new(
        http::StatusCode::REQUEST_TIMEOUT,
        "M_UNKNOWN",
        "The request's body did not arrive in time",
    )
}
