//! Reading a request's body: bounded in bytes, in time and in depth.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use serde::de::IgnoredAny;

use crate::ApiError;

/// Deeper JSON is refused: those who parse it later recurse. Serde stops at 128 of its own accord; the difference is for
/// what an event wraps around its content.
const DEEPEST: usize = 100;

/// What a request's body may take.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes of most.
    pub usual: usize,
    /// Bytes of those that carry keys or messages for many at once: [`Rule::large_body`](crate::Rule::large_body).
    pub large: usize,
    /// To arrive: a client that sends slower holds a connection for nothing. A body that its handler streams must make progress in
    /// this time instead.
    pub timeout: Duration,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self {
            usual: 1024 * 1024,
            large: 16 * 1024 * 1024,
            timeout: Duration::from_mins(1),
        }
    }
}

/// How large a body an endpoint takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BodySize {
    /// Larger than any event (65,536 bytes) or upload of keys, smaller than what would hurt.
    Usual,
    Large,
    /// The endpoint's own limit.
    Bytes(usize),
}

impl BodyLimits {
    pub(crate) fn bytes(&self, size: BodySize) -> usize {
        match size {
            BodySize::Usual => self.usual,
            BodySize::Large => self.large,
            BodySize::Bytes(limit) => limit,
        }
    }
}

/// A body that is still on the network, or one that a test has in hand.
#[derive(Debug)]
pub enum Payload {
    Network(Incoming),
    Ready(Bytes),
}

impl Payload {
    /// All of the body, as far as the limits allow one of its size.
    pub(crate) async fn read(self, size: BodySize, limits: &BodyLimits) -> Result<Bytes, ApiError> {
        let limit = limits.bytes(size);
        let body = match self {
            Self::Ready(bytes) if bytes.len() > limit => return Err(too_large(limit)),
            Self::Ready(bytes) => return Ok(bytes),
            Self::Network(body) if body.is_end_stream() => return Ok(Bytes::new()),
            Self::Network(body) => body,
        };
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_large(limit));
        }
        match tokio::time::timeout(limits.timeout, collect(body, announced, limit)).await {
            Ok(read) => read,
            Err(_) => Err(ApiError::new(
                http::StatusCode::REQUEST_TIMEOUT,
                "M_UNKNOWN",
                "The request's body did not arrive in time",
            )),
        }
    }
}

/// Refuses what is not an object (serde would take arrays for structs) and what is nested deeper than anything of Matrix. Whether
/// it is JSON to its end is found out where it is parsed.
pub(crate) fn check_form(body: &[u8]) -> Result<(), ApiError> {
    let first = body.trim_ascii_start().first();
    if !body.is_empty() && first != Some(&b'{') {
        return Err(if is_json(body) {
            ApiError::bad_json("The request's body is not a JSON object")
        } else {
            ApiError::not_json("The request's body is not JSON")
        });
    }
    if depth(body) > DEEPEST {
        return Err(ApiError::bad_json("JSON is nested too deeply"));
    }
    Ok(())
}

pub(crate) fn is_json(body: &[u8]) -> bool {
    str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// How deep brackets are nested. Needs no recursion, whatever was sent.
fn depth(json: &[u8]) -> usize {
    let mut deepest = 0;
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

async fn collect(mut body: Incoming, announced: usize, limit: usize) -> Result<Bytes, ApiError> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::not_json("The request's body was cut off"))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.is_empty() && whole.is_empty() {
            // Nearly every body is one frame, and is used as it came.
            first = data;
            if first.len() > limit {
                return Err(too_large(limit));
            }
            continue;
        }
        if whole.is_empty() {
            whole.reserve(announced.max(first.len() + data.len()));
            whole.extend_from_slice(&first);
        }
        if whole.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() {
        first
    } else {
        whole.freeze()
    })
}

pub(crate) fn too_large(limit: usize) -> ApiError {
    ApiError::too_large(format_args!(
        "The request's body is larger than {limit} bytes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_do_not_count_as_depth() {
        let text = format!(r#"{{"body":"\"{}"}}"#, "[".repeat(10 * DEEPEST));
        assert!(check_form(text.as_bytes()).is_ok());
    }

    #[test]
    fn deep_json_is_refused() {
        let text = r#"{"a":"#.repeat(DEEPEST + 1);
        assert_eq!(
            check_form(text.as_bytes()).expect_err("too deep").errcode(),
            "M_BAD_JSON"
        );
    }
}
