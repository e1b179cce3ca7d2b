//! Answers that are larger than should be in memory at once: a page is made when the client has taken the one before.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http::StatusCode;
use http_body::Frame;
use tokio::time::Instant;

use crate::{
    ApiError, Respond, Response,
    answer::{Body, json_head},
};

/// An answer that takes longer is cut off: what its pages are made from, such as a snapshot of the database, is not to be held for
/// ever.
const LONGEST: Duration = Duration::from_hours(1);

type Stored = Pin<Box<dyn Stream<Item = Result<Bytes, Cut>> + Send>>;

/// 200 with JSON that is made a page at a time. What is in memory is one page, and what hyper has not written yet (at most the
/// size of its buffer, and a page).
pub struct JsonPages(Stored);

/// The body of such an answer.
pub struct Pages(Stored);

/// A page could not be made when the status had been sent already: the connection is cut, so the client knows.
#[derive(Debug, thiserror::Error)]
#[error("the answer could not be finished")]
pub struct Cut;

/// Makes the pages of one answer, in order.
pub trait PageSource: Send + 'static {
    /// The next page; `None` at the end.
    fn next_page(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, ApiError>> + Send;
}

impl JsonPages {
    /// Makes the first page at once, so that what goes wrong there still is an error to the client.
    pub async fn begin(mut source: impl PageSource) -> Result<Self, ApiError> {
        let end = Instant::now() + LONGEST;
        let first = source.next_page().await?.unwrap_or_default();
        let rest = stream::try_unfold(source, move |mut source| async move {
            if Instant::now() > end {
                tracing::warn!("an answer that a client took too slowly was cut off");
                return Err(Cut);
            }
            match source.next_page().await {
                Ok(Some(page)) => Ok(Some((page.into(), source))),
                Ok(None) => Ok(None),
                Err(mut error) => {
                    let cause = error.take_cause().unwrap_or_default();
                    tracing::error!(%cause, "an answer was cut off");
                    Err(Cut)
                }
            }
        });
        Ok(Self(Box::pin(stream::iter([Ok(first.into())]).chain(rest))))
    }
}

impl Respond for JsonPages {
    fn respond(self) -> Result<Response, ApiError> {
        Ok(json_head(StatusCode::OK, Body::Pages(Pages(self.0))))
    }
}

impl fmt::Debug for Pages {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pages")
    }
}

impl Pages {
    pub(crate) fn poll_page(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let page = ready!(self.0.poll_next_unpin(context));
        Poll::Ready(page.map(|page| page.map(Frame::data)))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    /// As many pages as it says, the last of them perhaps an error.
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
    async fn an_answer_is_not_made_for_ever() {
        let mut body = body(false, 3).await.expect("it begins");
        body.frame().await.expect("a page").expect("in time");
        tokio::time::advance(2 * LONGEST).await;
        assert!(body.frame().await.expect("an end").is_err());
    }

    #[tokio::test]
    async fn a_failure_on_the_first_page_is_an_error_and_a_later_one_cuts_the_answer() {
        assert!(body(true, 0).await.is_err());
        let body = body(true, 2).await.expect("it begins");
        assert!(body.collect().await.is_err());
    }
}
