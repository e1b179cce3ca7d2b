//! What URLs are requested at all.
//!
//! The connection is made to what the URL parser of the transport reads, while callers sign and check
//! what they wrote. A URL that the parser would change is refused, so the two are always the same.

use http::Uri;
use reqwest::Url;

use super::ClientError;

/// Longer URLs are not requested.
const LONGEST: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schemes {
    Https,
    HttpsAndHttp,
}

/// The destination that requests to this URL share connections with: scheme, host and port.
pub(super) fn check(uri: &Uri, schemes: Schemes) -> Result<String, ClientError> {
    let text = uri.to_string();
    let parsed = parse(&text, schemes)?;
    let written = uri.path_and_query().map_or("/", |path| path.as_str());
    let written = if written.is_empty() { "/" } else { written };
    let read = match parsed.query() {
        Some(query) => format!("{}?{query}", parsed.path()),
        None => parsed.path().to_owned(),
    };
    if read != written {
        return Err(ClientError::InvalidUrl("its path is not normalized"));
    }
    Ok(parsed.origin().ascii_serialization())
}

/// Without the fragment, which is never sent.
pub(super) fn parse(text: &str, schemes: Schemes) -> Result<Url, ClientError> {
    if text.len() > LONGEST {
        return Err(ClientError::InvalidUrl("it is too long"));
    }
    let mut url = Url::parse(text).map_err(|_| ClientError::InvalidUrl("it cannot be parsed"))?;
    url.set_fragment(None);
    match (url.scheme(), schemes) {
        ("https", _) | ("http", Schemes::HttpsAndHttp) => {}
        _ => return Err(ClientError::InvalidUrl("its scheme is not allowed")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(ClientError::InvalidUrl("it has credentials"));
    }
    if !url.has_host() {
        return Err(ClientError::InvalidUrl("it has no host"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<String, ClientError> {
        check(&text.parse().expect("a URI"), Schemes::Https)
    }

    #[test]
    fn urls_to_one_origin_share_its_connections() {
        assert_eq!(
            of("https://example.org/a?b=c"),
            Ok("https://example.org".to_owned())
        );
        assert_eq!(
            of("https://EXAMPLE.org:443/"),
            Ok("https://example.org".to_owned())
        );
        assert_eq!(
            of("https://example.org:8448"),
            Ok("https://example.org:8448".to_owned())
        );
        assert_eq!(
            of("https://[2606:4700::1]:8448/"),
            Ok("https://[2606:4700::1]:8448".to_owned())
        );
    }

    #[test]
    fn what_the_parser_would_change_is_refused() {
        for text in [
            "https://example.org/a/../b",
            "https://example.org/a/%2e%2e/b",
            "https://example.org/./a",
            "http://example.org/",
            "ftp://example.org/",
            "https://user@example.org/",
        ] {
            assert!(
                matches!(of(text), Err(ClientError::InvalidUrl(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_number_as_host_is_the_address_that_it_means() {
        assert_eq!(
            of("https://2130706433/"),
            Ok("https://127.0.0.1".to_owned())
        );
        assert_eq!(of("https://0x7f.1/"), Ok("https://127.0.0.1".to_owned()));
    }
}
