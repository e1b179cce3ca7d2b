//! `GET /.well-known/matrix/server`, asked of another server.

use std::time::Duration;

use bytes::Bytes;
use database::Millis;
use http::{
    HeaderMap, Request, StatusCode,
    header::{CACHE_CONTROL, EXPIRES},
};
use ruma::OwnedServerName;
use serde::Deserialize;

use crate::client::{ClientError, HttpClient, Limits, Outgoing, Route};

const LIMITS: Limits = Limits {
    head: Duration::from_secs(15),
    stall: Duration::from_secs(10),
    whole: Duration::from_secs(30),
    bytes: 50 * 1024,
};
const REDIRECTS: u8 = 5;

/// How long an answer holds that does not say so itself.
const USUAL: Duration = Duration::from_hours(24);
/// Bounds on what an answer says.
const SHORTEST: Duration = Duration::from_mins(5);
pub(super) const LONGEST: Duration = Duration::from_hours(48);

/// What a host said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delegated {
        to: OwnedServerName,
        holds: Duration,
    },
    /// It answered, and delegates to nobody: no such file, or one that is not valid.
    None,
    /// It could not be asked, or has a passing problem.
    Failed,
}

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "m.server")]
    server: OwnedServerName,
}

pub(super) async fn fetch(client: &HttpClient, host: &str, now: Millis) -> Outcome {
    let url = format!("https://{host}/.well-known/matrix/server");
    let Ok(request) = Request::get(url).body(Bytes::new()) else {
        return Outcome::None;
    };
    let outgoing = Outgoing::new(request, Route::Host, LIMITS).following(REDIRECTS);
    let answered = async {
        let response = client.send(outgoing).await?;
        let (head, body) = response.into_parts();
        if head.status != StatusCode::OK {
            return Ok((head, Bytes::new()));
        }
        Ok((head, body.collect().await?))
    };
    match answered.await {
        Ok((head, body)) => read(head.status, &head.headers, &body, now),
        Err(ClientError::TooLarge(_) | ClientError::Redirect(_) | ClientError::InvalidUrl(_)) => {
            Outcome::None
        }
        Err(error) => {
            tracing::debug!(host, %error, "cannot fetch .well-known/matrix/server");
            Outcome::Failed
        }
    }
}

fn read(status: StatusCode, headers: &HeaderMap, body: &[u8], now: Millis) -> Outcome {
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Outcome::Failed;
    }
    if status != StatusCode::OK {
        return Outcome::None;
    }
    match serde_json::from_slice::<Document>(body) {
        Ok(document) => Outcome::Delegated {
            to: document.server,
            holds: lifetime(headers, now)
                .unwrap_or(USUAL)
                .clamp(SHORTEST, LONGEST),
        },
        Err(_) => Outcome::None,
    }
}

/// What the caching headers say, if anything.
fn lifetime(headers: &HeaderMap, now: Millis) -> Option<Duration> {
    let lines = headers.get_all(CACHE_CONTROL).iter();
    let text: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
    let directives = text.iter().flat_map(|line| line.split(',')).map(str::trim);
    let mut age = None;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if name.eq_ignore_ascii_case("no-store") || name.eq_ignore_ascii_case("no-cache") {
            return Some(Duration::ZERO);
        }
        if name.eq_ignore_ascii_case("max-age") {
            age = value
                .trim_matches('"')
                .parse()
                .ok()
                .map(Duration::from_secs);
        }
    }
    if age.is_some() {
        return age;
    }
    let expires = headers.get(EXPIRES)?.to_str().ok()?;
    let Ok(expires) = httpdate::parse_http_date(expires) else {
        // Such as "0", which means that it has expired already.
        return Some(Duration::ZERO);
    };
    let now = std::time::UNIX_EPOCH + Duration::from_millis(now.0);
    Some(expires.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_735_689_600_000);

    fn of(headers: &[(&str, &str)]) -> Option<Duration> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: http::HeaderName = name.parse().expect("a name");
            map.append(name, value.parse().expect("a value"));
        }
        let body = br#"{"m.server":"matrix.example.org:443"}"#;
        match read(StatusCode::OK, &map, body, NOW) {
            Outcome::Delegated { holds, .. } => Some(holds),
            _ => None,
        }
    }

    #[test]
    fn an_answer_holds_as_long_as_it_says_within_bounds() {
        assert_eq!(of(&[]), Some(USUAL));
        assert_eq!(
            of(&[("cache-control", "public, max-age=3600")]),
            Some(Duration::from_hours(1))
        );
        assert_eq!(
            of(&[("cache-control", "Max-Age=\"3600\"")]),
            Some(Duration::from_hours(1))
        );
        assert_eq!(of(&[("cache-control", "max-age=0")]), Some(SHORTEST));
        assert_eq!(of(&[("cache-control", "no-store")]), Some(SHORTEST));
        assert_eq!(
            of(&[("cache-control", "max-age=99999999999999999999")]),
            Some(USUAL)
        );
        assert_eq!(of(&[("cache-control", "max-age=31536000")]), Some(LONGEST));
        assert_eq!(
            of(&[("expires", "Wed, 01 Jan 2025 02:00:00 GMT")]),
            Some(Duration::from_hours(2))
        );
        assert_eq!(of(&[("expires", "0")]), Some(SHORTEST));
        assert_eq!(
            of(&[("cache-control", "max-age=600"), ("expires", "0")]),
            Some(Duration::from_mins(10))
        );
    }

    #[test]
    fn whatever_is_not_valid_delegates_to_nobody() {
        let of = |status, body: &str| read(status, &HeaderMap::new(), body.as_bytes(), NOW);
        for body in [
            "",
            "{}",
            "[]",
            "not json",
            r#"{"m.server":5}"#,
            r#"{"m.server":""}"#,
            r#"{"m.server":"a b"}"#,
            r#"{"m.server":"example.org:99999"}"#,
            r#"{"m.server":"https://example.org"}"#,
        ] {
            assert_eq!(of(StatusCode::OK, body), Outcome::None, "{body}");
        }
        let valid = r#"{"m.server":"example.org"}"#;
        assert_eq!(of(StatusCode::NOT_FOUND, valid), Outcome::None);
        assert_eq!(of(StatusCode::FOUND, valid), Outcome::None);
        assert_eq!(of(StatusCode::BAD_GATEWAY, valid), Outcome::Failed);
    }
}
