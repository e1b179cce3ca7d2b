//! The body of a response, bounded in bytes and in time.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Sleep, sleep_until};

use super::{ClientError, Limits, RawBody, slots::Slot};

/// Fails when it grows too large, stalls, or takes too long. Frees its slot when dropped.
pub struct Body {
    inner: RawBody,
    limit: u64,
    left: u64,
    stall: Duration,
    /// The earlier of the deadline and the end of the stall timeout.
    timer: Pin<Box<Sleep>>,
    deadline: Instant,
    is_over: bool,
    _slot: Slot,
}

impl Body {
    pub(super) fn new(inner: RawBody, limits: Limits, deadline: Instant, slot: Slot) -> Self {
        let first = deadline.min(Instant::now() + limits.stall);
        Self {
            inner,
            limit: limits.bytes,
            left: limits.bytes,
            stall: limits.stall,
            timer: Box::pin(sleep_until(first)),
            deadline,
            is_over: false,
            _slot: slot,
        }
    }

    /// With a smaller bound, which counts from here.
    #[must_use]
    pub fn at_most(mut self, bytes: u64) -> Self {
        self.left = self.left.min(bytes);
        self.limit = self.limit.min(bytes);
        self
    }

    /// All of it. The memory that this takes is bounded by the request's limits alone.
    pub async fn collect(mut self) -> Result<Bytes, ClientError> {
        if self.inner.size_hint().lower() > self.limit {
            return Err(ClientError::TooLarge(self.limit));
        }
        let mut first = Bytes::new();
        let mut whole = BytesMut::new();
        while let Some(frame) = self.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            if first.is_empty() && whole.is_empty() {
                first = data;
            } else {
                if whole.is_empty() {
                    whole.extend_from_slice(&first);
                }
                whole.extend_from_slice(&data);
            }
        }
        Ok(if whole.is_empty() {
            first
        } else {
            whole.freeze()
        })
    }

    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), ClientError> {
        let bytes = frame.data_ref().map_or(0, |data| data.remaining() as u64);
        self.left = self
            .left
            .checked_sub(bytes)
            .ok_or(ClientError::TooLarge(self.limit))?;
        if bytes > 0 {
            let next = self.deadline.min(Instant::now() + self.stall);
            self.timer.as_mut().reset(next);
        }
        Ok(())
    }

    fn poll_bounded(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if polled.is_pending() {
            ready!(self.timer.as_mut().poll(context));
            return Poll::Ready(Some(Err(ClientError::TimedOut("receiving the response"))));
        }
        // A body that always has something ready must not outlive its deadline either.
        if Instant::now() >= self.deadline {
            return Poll::Ready(Some(Err(ClientError::TimedOut("receiving the response"))));
        }
        polled.map(|frame| {
            frame.map(|frame| {
                let frame = frame?;
                self.count(&frame)?;
                Ok(frame)
            })
        })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = ClientError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ClientError>>> {
        let body = self.get_mut();
        if body.is_over {
            return Poll::Ready(None);
        }
        let frame = ready!(body.poll_bounded(context));
        body.is_over = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
