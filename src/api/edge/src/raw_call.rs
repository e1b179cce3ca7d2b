//! `RawCall<R>`: a request whose handler reads the body itself, for uploads and protocol upgrades.

use std::{sync::Arc, time::Duration};

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::request::Parts;
use http_body_util::BodyExt as _;
use ruma::api::{IncomingRequest, Metadata};
use tokio::time::{Instant, timeout_at};

use crate::{
    ApiError, Body, Caller, Class, ClientAddress, EdgeContext, Scheme, User, body, call::Admitted,
    parse,
};

/// A client must send this much in each period of the stall timeout, or the rest of the body.
const PROGRESS_BYTES: usize = 16 * 1024;

/// A request that passed authentication and rate limits, with its body still to be read. `request`
/// is decoded from path, query and headers alone, so `R` is a request type with a raw body or none.
pub struct RawCall<R: Metadata<Authentication: Scheme>> {
    pub caller: <R::Authentication as Scheme>::Caller,
    pub request: R,
    pub client: ClientAddress,
    /// Headers, and in its extensions what axum's `WebSocketUpgrade` extracts.
    pub head: Parts,
    pub body: BodyStream,
    context: Arc<EdgeContext>,
}

/// The body of a request, a chunk at a time: bounded in bytes, and cut off if it stalls.
#[derive(Debug)]
pub struct BodyStream {
    body: Body,
    limit: usize,
    received: usize,
    stall_timeout: Duration,
    /// When the current period ends, and the bytes it has seen.
    deadline: Instant,
    progress: usize,
}

impl<R: Metadata<Authentication: Scheme>> RawCall<R> {
    /// Charges one more token, for work that not every request of the endpoint does.
    pub fn charge(&self, class: Class) -> Result<(), ApiError> {
        self.context.charge(class, self.caller.user(), self.client)
    }

    pub(crate) fn user(&self) -> Option<&User> {
        self.caller.user()
    }
}

impl<R, S> FromRequest<S> for RawCall<R>
where
    R: IncomingRequest + Metadata<Authentication: Scheme> + Send + 'static,
    S: Send + Sync,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        let (mut head, body) = request.into_parts();
        let Admitted {
            caller,
            client,
            context,
            rule,
            path,
        } = Admitted::of::<R>(&mut head).await?;
        let limit = context.bodies.bytes(rule.body);
        let body = BodyStream::new(body, limit, context.bodies.timeout)?;
        let request = parse::request(head.clone(), &[], &path)?;
        Ok(Self {
            caller,
            request,
            client,
            head,
            body,
            context,
        })
    }
}

impl BodyStream {
    fn new(body: Body, limit: usize, stall_timeout: Duration) -> Result<Self, ApiError> {
        body::check_announced(&body, limit)?;
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
        loop {
            let frame = timeout_at(self.deadline, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| body::timed_out())? else {
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use tokio::time::sleep;

    use super::*;

    const TIMEOUT: Duration = Duration::from_mins(1);

    /// Sends a chunk of this size every half timeout, for ever.
    fn slow(chunk: usize) -> Body {
        Body::from_stream(stream::unfold((), move |()| async move {
            sleep(TIMEOUT / 2).await;
            Some((Ok::<_, Infallible>(vec![0; chunk]), ()))
        }))
    }

    async fn read(body: Body, limit: usize) -> Result<usize, ApiError> {
        let mut stream = BodyStream::new(body, limit, TIMEOUT)?;
        while stream.next().await?.is_some() {}
        Ok(stream.received())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stalls_is_cut_off() {
        let error = read(slow(100), 1 << 20).await.expect_err("too slow");
        assert_eq!(error.status(), http::StatusCode::REQUEST_TIMEOUT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_progresses_may_take_long_but_not_exceed_the_limit() {
        let error = read(slow(PROGRESS_BYTES), 1 << 20).await;
        let error = error.expect_err("too large");
        assert_eq!(error.errcode(), "M_TOO_LARGE");
    }

    #[tokio::test]
    async fn an_announced_size_over_the_limit_is_refused_unread() {
        let error = BodyStream::new(Body::from(vec![0; 11]), 10, TIMEOUT);
        assert_eq!(error.expect_err("too large").errcode(), "M_TOO_LARGE");
        assert_eq!(read(Body::from(vec![0; 10]), 10).await.expect("fits"), 10);
    }
}
