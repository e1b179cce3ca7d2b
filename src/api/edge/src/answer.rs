//! What a handler may return: a ruma response, or JSON that it made itself.

use std::{
    fmt::{self, Display},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use ruma::api::{OutgoingResponse, OutgoingResponseExt as _};
use serde::Serialize;

use crate::{
    ApiError,
    pages::{Cut, Pages},
};

/// Nearly all bodies are whole: one write sends head and body together. What has no bound comes in pages.
#[derive(Debug)]
pub enum Body {
    Whole(Full<Bytes>),
    Pages(Pages),
    Stream(Streamed),
}

/// A body that is sent as it is read.
pub struct Streamed(BoxStream<'static, Result<Bytes, Cut>>);

pub type Response = http::Response<Body>;

/// 200 with bytes that are JSON already (hot paths splice them from stored events).
#[derive(Debug)]
pub struct RawJson(pub Vec<u8>);

/// 200 with a value of our own, where ruma's response type is too narrow.
#[derive(Debug)]
pub struct Json<T>(pub T);

/// 200 with `{}`.
#[derive(Debug)]
pub struct Empty;

/// An answer that the handler made as a whole: other statuses, other content types.
#[derive(Debug)]
pub struct Whole(pub Response);

/// Anything that becomes an answer.
pub trait Respond {
    fn respond(self) -> Result<Response, ApiError>;
}

impl<T: OutgoingResponse> Respond for T {
    fn respond(self) -> Result<Response, ApiError> {
        let response = self
            .try_into_http_response::<Vec<u8>>()
            .map_err(ApiError::internal)?;
        Ok(response.map(Body::from))
    }
}

impl Respond for RawJson {
    fn respond(self) -> Result<Response, ApiError> {
        Ok(json(StatusCode::OK, self.0))
    }
}

impl<T: Serialize> Respond for Json<T> {
    fn respond(self) -> Result<Response, ApiError> {
        let bytes = serde_json::to_vec(&self.0).map_err(ApiError::internal)?;
        Ok(json(StatusCode::OK, bytes))
    }
}

impl Respond for Empty {
    fn respond(self) -> Result<Response, ApiError> {
        Ok(json(StatusCode::OK, b"{}".to_vec()))
    }
}

impl Respond for Whole {
    fn respond(self) -> Result<Response, ApiError> {
        Ok(self.0)
    }
}

impl Body {
    /// A body of unknown size, unless its head says `Content-Length`.
    pub fn from_stream<S, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Display,
    {
        let cut = |error: E| {
            tracing::warn!(%error, "an answer was cut off");
            Cut
        };
        Self::Stream(Streamed(stream.map_err(cut).boxed()))
    }
}

impl fmt::Debug for Streamed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Streamed")
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::Whole(Full::default())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Whole(Full::new(bytes.into()))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Whole(body) => {
                let frame = Pin::new(body).poll_frame(context);
                frame.map_err(|never| match never {})
            }
            Self::Pages(pages) => pages.poll_page(context),
            Self::Stream(Streamed(stream)) => {
                let bytes = ready!(stream.poll_next_unpin(context));
                Poll::Ready(bytes.map(|bytes| bytes.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Pages(_) | Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Pages(_) | Self::Stream(_) => SizeHint::default(),
        }
    }
}

pub(crate) fn json(status: StatusCode, body: Vec<u8>) -> Response {
    json_head(status, body.into())
}

/// A body that is JSON, with its head.
pub(crate) fn json_head(status: StatusCode, body: Body) -> Response {
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
