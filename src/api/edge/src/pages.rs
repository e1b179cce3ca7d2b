//! Responses that are larger than should be in memory at once: a page is made when the client has
//! read the previous one.

use std::{future::Future, time::Duration};

use futures_util::{StreamExt as _, stream};
use http::StatusCode;
use tokio::time::Instant;

use crate::{ApiError, Body, Respond, Response, response::json};

/// A response that takes longer is aborted, because it may hold a snapshot of the database.
const TIMEOUT: Duration = Duration::from_mins(10);

/// 200 with JSON that is made a page at a time. In memory are one page and the unwritten part of
/// the connection's buffer.
#[derive(Debug)]
pub struct JsonPages(Body);

/// A page could not be made after the status had been sent. The connection is closed without the
/// last chunk, so that the client notices.
#[derive(Debug, thiserror::Error)]
#[error("the response could not be finished")]
pub struct Interrupted;

/// Makes the pages of one response, in order.
pub trait PageSource: Send + 'static {
    /// The next page; `None` at the end.
    fn next_page(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, ApiError>> + Send;
}

impl JsonPages {
    /// Makes the first page at once: its errors are still error responses.
    pub async fn begin(mut source: impl PageSource) -> Result<Self, ApiError> {
        let deadline = Instant::now() + TIMEOUT;
        let first = source.next_page().await?.unwrap_or_default();
        let rest = stream::try_unfold(source, move |mut source| async move {
            if Instant::now() > deadline {
                tracing::warn!("aborted a streamed response: the client reads too slowly");
                return Err(Interrupted);
            }
            match source.next_page().await {
                Ok(Some(page)) => Ok(Some((page, source))),
                Ok(None) => Ok(None),
                Err(mut error) => {
                    let cause = error.take_cause().unwrap_or_default();
                    tracing::error!(%cause, "aborted a streamed response");
                    Err(Interrupted)
                }
            }
        });
        let pages = stream::iter([Ok(first)]).chain(rest);
        Ok(Self(Body::from_stream(pages)))
    }
}

impl Respond for JsonPages {
    fn respond(self) -> Result<Response, ApiError> {
        Ok(json(StatusCode::OK, self.0))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// Pages up to a number, the last of them perhaps an error.
    struct Numbers {
        next: u8,
        last: u8,
        fails: bool,
    }

    impl PageSource for Numbers {
        async fn next_page(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
            if self.next > self.last {
                return Ok(None);
            }
            if self.fails && self.next == self.last {
                return Err(ApiError::internal("no disk"));
            }
            self.next += 1;
            Ok(Some(vec![self.next - 1]))
        }
    }

    async fn body(fails: bool, last: u8) -> Result<Body, ApiError> {
        let source = Numbers {
            next: 0,
            last,
            fails,
        };
        let response = JsonPages::begin(source).await?.respond()?;
        Ok(response.into_body())
    }

    #[tokio::test]
    async fn pages_arrive_in_order() {
        let body = body(false, 3).await.expect("it begins");
        assert_eq!(
            body.collect().await.expect("whole").to_bytes(),
            [0, 1, 2, 3][..]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_takes_too_long_is_aborted() {
        let mut body = body(false, 3).await.expect("it begins");
        body.frame().await.expect("a page").expect("in time");
        tokio::time::advance(2 * TIMEOUT).await;
        assert!(body.frame().await.expect("an end").is_err());
    }

    #[tokio::test]
    async fn a_failure_on_the_first_page_is_an_error_and_a_later_one_aborts_the_response() {
        assert!(body(true, 0).await.is_err());
        let body = body(true, 2).await.expect("it begins");
        assert!(body.collect().await.is_err());
    }
}
