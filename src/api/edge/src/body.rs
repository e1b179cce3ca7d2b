//! Reading a request's body: bounded in bytes, in time and in depth.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde::de::IgnoredAny;

use crate::{ApiError, Body, budget::Reservation};

/// Deeper JSON is refused, because parsers recurse. Serde stops at 128; the difference is for the
/// levels that an event wraps around its content.
const MAX_DEPTH: usize = 100;
/// More values in one body are refused, because each costs memory and time when it is parsed and
/// dropped. Enough for a key backup of 16 MiB.
const MAX_VALUES: usize = 250_000;
/// The same for bodies up to `SMALL`.
const MAX_VALUES_SMALL: usize = 100_000;
const SMALL: usize = 1024 * 1024;

/// Limits on the body of a request.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// In bytes, for most endpoints.
    pub usual: usize,
    /// In bytes, for those that carry keys or messages of many devices:
    /// [`Rule::large_body`](crate::Rule::large_body).
    pub large: usize,
    /// To arrive. A body that its handler streams must make progress in this time instead.
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

/// The size of body that an endpoint takes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BodySize {
    /// Larger than any event (65,536 bytes) or upload of keys.
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

/// The whole body. Its memory is counted in `reservation` before it is allocated.
pub(crate) async fn read(
    body: Body,
    size: BodySize,
    limits: &BodyLimits,
    reservation: &mut Reservation,
) -> Result<Bytes, ApiError> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let limit = limits.bytes(size);
    check_announced(&body, limit)?;
    let collected = tokio::time::timeout(limits.timeout, collect(body, limit, reservation));
    collected.await.map_err(|_| timed_out())?
}

/// Refuses a body whose `Content-Length` exceeds the limit, before any of it is read.
pub(crate) fn check_announced(body: &Body, limit: usize) -> Result<(), ApiError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large(limit));
    }
    Ok(())
}

pub(crate) fn timed_out() -> ApiError {
    ApiError::new(
        http::StatusCode::REQUEST_TIMEOUT,
        "M_UNKNOWN",
        "The request's body did not arrive in time",
    )
}

/// Refuses anything but an object (serde would take arrays for structs), deeper nesting than Matrix
/// has, and too many values. The parser checks that it is valid JSON to its end.
pub(crate) fn check_form(body: &[u8]) -> Result<(), ApiError> {
    let first = body.trim_ascii_start().first();
    if !body.is_empty() && first != Some(&b'{') {
        return Err(if is_json(body) {
            ApiError::bad_json("The request's body is not a JSON object")
        } else {
            ApiError::not_json("The request's body is not JSON")
        });
    }
    let Shape { depth, values } = shape(body);
    if depth > MAX_DEPTH {
        return Err(ApiError::bad_json("JSON is nested too deeply"));
    }
    let max_values = if body.len() > SMALL {
        MAX_VALUES
    } else {
        MAX_VALUES_SMALL
    };
    if values > max_values {
        return Err(ApiError::too_large(
            "The request's body has too many values",
        ));
    }
    Ok(())
}

pub(crate) fn is_json(body: &[u8]) -> bool {
    str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

struct Shape {
    depth: usize,
    /// At most: members of objects and items of arrays.
    values: usize,
}

/// Nesting and size, found without recursion.
fn shape(json: &[u8]) -> Shape {
    let (mut deepest, mut values) = (0, 1);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' if !in_string => values += 1,
            b'{' | b'[' if !in_string => {
                depth += 1;
                values += 1;
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    Shape {
        depth: deepest,
        values,
    }
}

async fn collect(
    mut body: Body,
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, ApiError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let Some(first) = next_chunk(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > limit {
        return Err(too_large(limit));
    }
    reservation.grow(first.len())?;
    if body.is_end_stream() {
        // Nearly every body is one chunk, and is used without a copy.
        return Ok(first);
    }
    let mut whole = Vec::new();
    let mut chunk = first;
    loop {
        let length = whole.len() + chunk.len();
        if length > limit {
            return Err(too_large(limit));
        }
        if length > whole.capacity() {
            // Doubled, so that little is copied, and a client must send before memory is spent.
            let most = if announced < length { limit } else { announced };
            let capacity = (2 * whole.capacity()).clamp(length, most);
            reservation.grow(capacity - whole.capacity())?;
            whole.reserve_exact(capacity - whole.len());
        }
        whole.extend_from_slice(&chunk);
        match next_chunk(&mut body).await? {
            Some(next) => chunk = next,
            None => return Ok(whole.into()),
        }
    }
}

/// `None` at the end. Trailers are skipped.
async fn next_chunk(body: &mut Body) -> Result<Option<Bytes>, ApiError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| ApiError::not_json("The request's body was cut off"))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}

pub(crate) fn too_large(limit: usize) -> ApiError {
    ApiError::too_large(format_args!(
        "The request's body is larger than {limit} bytes"
    ))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{StreamExt as _, stream};

    use super::*;
    use crate::{
        InFlightLimits,
        budget::{Account, Budget},
    };

    #[test]
    fn brackets_in_strings_do_not_count_as_depth() {
        let text = format!(r#"{{"body":"\"{}"}}"#, "[".repeat(10 * MAX_DEPTH));
        assert!(check_form(text.as_bytes()).is_ok());
    }

    fn budget() -> Budget {
        Budget::new(InFlightLimits::new(1 << 20))
    }

    /// A body in chunks of this size, without `Content-Length`.
    fn chunked(bytes: usize, chunk: usize) -> Body {
        let chunks = (0..bytes).step_by(chunk);
        let chunks = chunks.map(move |at| vec![b'a'; chunk.min(bytes - at)]);
        Body::from_stream(stream::iter(chunks.map(Ok::<_, Infallible>)))
    }

    async fn read_with(
        body: Body,
        limits: &BodyLimits,
        budget: &Budget,
    ) -> Result<Bytes, ApiError> {
        let nobody = Account {
            user: None,
            address: Some([203, 0, 113, 1].into()),
        };
        let mut reservation = budget.reservation(nobody);
        read(body, BodySize::Usual, limits, &mut reservation).await
    }

    #[tokio::test]
    async fn a_body_in_chunks_is_put_together_and_counted_only_meanwhile() {
        let budget = budget();
        let read = read_with(chunked(100_001, 1_000), &BodyLimits::default(), &budget).await;
        assert_eq!(read.expect("it fits").len(), 100_001);
        assert_eq!(budget.in_flight(), 0);
    }

    #[tokio::test]
    async fn a_body_without_end_is_cut_off_at_the_limit() {
        let limits = BodyLimits {
            usual: 10_000,
            ..BodyLimits::default()
        };
        let endless = stream::repeat_with(|| Ok::<_, Infallible>(vec![b'a'; 100]));
        let error = read_with(Body::from_stream(endless), &limits, &budget()).await;
        assert_eq!(error.expect_err("too large").errcode(), "M_TOO_LARGE");
    }

    #[tokio::test]
    async fn a_body_over_the_share_is_refused_before_it_is_in_memory() {
        let budget = Budget::new(InFlightLimits {
            total: 1_000_000,
            per_user: 50_000,
            per_address: 75_000,
        });
        let error = read_with(chunked(90_000, 1_000), &BodyLimits::default(), &budget).await;
        assert_eq!(error.expect_err("over").errcode(), "M_LIMIT_EXCEEDED");
        assert_eq!(budget.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_given_up_and_counts_no_longer() {
        let begun = stream::iter([Ok::<_, Infallible>(vec![b'a'; 1_000])]);
        let body = Body::from_stream(begun.chain(stream::pending()));
        let budget = budget();
        let error = read_with(body, &BodyLimits::default(), &budget).await;
        let error = error.expect_err("it does not arrive");
        assert_eq!(error.status(), http::StatusCode::REQUEST_TIMEOUT);
        assert_eq!(budget.in_flight(), 0);
    }

    #[test]
    fn too_many_values_are_refused() {
        let array = |values: usize| format!(r#"{{"a":[{}0]}}"#, "0,".repeat(values));
        assert!(check_form(array(90_000).as_bytes()).is_ok());
        let error = check_form(array(100_000).as_bytes()).expect_err("too many");
        assert_eq!(error.errcode(), "M_TOO_LARGE");
    }

    #[test]
    fn deep_json_is_refused() {
        let text = r#"{"a":"#.repeat(MAX_DEPTH + 1);
        assert_eq!(
            check_form(text.as_bytes()).expect_err("too deep").errcode(),
            "M_BAD_JSON"
        );
    }
}
