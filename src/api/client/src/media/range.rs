//! Which part of a file a client wants: `Range`, `If-Range` and `If-None-Match` (RFC 9110).

use std::ops::Range;

use http::{
    HeaderMap,
    header::{IF_NONE_MATCH, IF_RANGE, RANGE},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Range(Range<u64>),
    /// There is nothing at that place.
    Beyond,
}

/// Whether the client has this very file already.
pub(super) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).into_iter();
    let mut tags = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag
    })
}

/// The part of a file of `size` bytes. What is not understood, and more than one range, means all of it.
pub(super) fn part(headers: &HeaderMap, size: u64, etag: &str) -> Part {
    let is_other = headers
        .get(IF_RANGE)
        .is_some_and(|tag| tag.as_bytes() != etag.as_bytes());
    let range = headers.get(RANGE).and_then(|range| range.to_str().ok());
    let range = range.and_then(|range| range.trim().strip_prefix("bytes="));
    let Some((first, last)) = range.and_then(|range| range.split_once('-')) else {
        return Part::Whole;
    };
    if is_other {
        return Part::Whole;
    }
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let (start, end) = match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Some(length) => (size.saturating_sub(length), size),
            None => return Part::Whole,
        },
        (first, "") => match number(first) {
            Some(first) => (first, size),
            None => return Part::Whole,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(size)),
            _ => return Part::Whole,
        },
    };
    if start >= end {
        return Part::Beyond;
    }
    Part::Range(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETAG: &str = "\"tag\"";

    fn headers(pairs: &[(http::HeaderName, &str)]) -> HeaderMap {
        let pair = |(name, value): &(http::HeaderName, &str)| {
            (name.clone(), value.parse().expect("a header value"))
        };
        pairs.iter().map(pair).collect()
    }

    fn of(range: &str) -> Part {
        part(&headers(&[(RANGE, range)]), 100, ETAG)
    }

    #[test]
    fn ranges_count_from_either_end() {
        assert_eq!(of("bytes=0-9"), Part::Range(0..10));
        assert_eq!(of("bytes=90-"), Part::Range(90..100));
        assert_eq!(of("bytes=-10"), Part::Range(90..100));
        assert_eq!(of("bytes=-1000"), Part::Range(0..100));
        assert_eq!(of("bytes=50-1000"), Part::Range(50..100));
        assert_eq!(of(&format!("bytes=0-{}", u64::MAX)), Part::Range(0..100));
    }

    #[test]
    fn what_is_no_range_is_the_whole_file() {
        for text in [
            "bytes=",
            "bytes=a-b",
            "bytes=9-0",
            "bytes=0-1,5-6",
            "lines=0-1",
            "bytes=--",
        ] {
            assert_eq!(of(text), Part::Whole, "{text}");
        }
        assert_eq!(part(&HeaderMap::new(), 100, ETAG), Part::Whole);
    }

    #[test]
    fn nothing_is_beyond_the_end() {
        assert_eq!(of("bytes=100-"), Part::Beyond);
        assert_eq!(of("bytes=-0"), Part::Beyond);
        assert_eq!(
            part(&headers(&[(RANGE, "bytes=0-")]), 0, ETAG),
            Part::Beyond
        );
    }

    #[test]
    fn a_range_of_another_file_is_the_whole_file() {
        let with = |tag: &str| {
            part(
                &headers(&[(RANGE, "bytes=0-9"), (IF_RANGE, tag)]),
                100,
                ETAG,
            )
        };
        assert_eq!(with(ETAG), Part::Range(0..10));
        assert_eq!(with("\"other\""), Part::Whole);
    }

    #[test]
    fn a_known_file_is_found_among_several() {
        let with = |tags: &str| is_known(&headers(&[(IF_NONE_MATCH, tags)]), ETAG);
        assert!(with(ETAG) && with("*") && with("\"a\", W/\"tag\""));
        assert!(!with("\"other\"") && !is_known(&HeaderMap::new(), ETAG));
    }
}
