//! Files as answers: content type and disposition, the headers that keep browsers from running what somebody uploaded ("Security
//! considerations" and "Serving inline content"), ranges and conditions.

use edge::{ApiError, AxumResponse, Body};
use futures_util::StreamExt as _;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, LOCATION, X_CONTENT_TYPE_OPTIONS,
    },
    request::Parts,
};
use media::{ContentHash, Download, storage::Bits};
use ruma::http_headers::{ContentDisposition, ContentDispositionType};

use super::{
    range::{self, Part},
    refusal::refuse_download,
};

const OCTETS: &str = "application/octet-stream";
const POLICY: &str = "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; style-src \
     'unsafe-inline'; object-src 'self';";
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// Media never changes; a day is how long a quarantine may take to reach every cache.
const CACHE: &str = "private, max-age=86400";

/// Types that a browser may show by itself.
const INLINE: [&str; 26] = [
    "text/css",
    "text/plain",
    "text/csv",
    "application/json",
    "application/ld+json",
    "image/jpeg",
    "image/gif",
    "image/png",
    "image/apng",
    "image/webp",
    "image/avif",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "video/quicktime",
    "audio/mp4",
    "audio/webm",
    "audio/aac",
    "audio/mpeg",
    "audio/ogg",
    "audio/wave",
    "audio/wav",
    "audio/x-wav",
    "audio/x-pn-wav",
    "audio/flac",
    "audio/x-flac",
];

/// `type/subtype`, perhaps with parameters, as a header may have it.
pub(super) fn valid_content_type(text: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(is_token);
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let names = essence(text).split_once('/');
    is_plain && names.is_some_and(|(kind, sub)| is_name(kind) && is_name(sub))
}

/// A content type without its parameters.
fn essence(text: &str) -> &str {
    text.split(';').next().unwrap_or_default().trim()
}

/// A download. `name` replaces that of the upload.
pub(super) async fn file(
    head: &Parts,
    download: Download,
    name: Option<String>,
) -> Result<AxumResponse, ApiError> {
    if let Some(url) = download.redirect().await.map_err(refuse_download)? {
        return redirect(&url);
    }
    let kind = download.info.content_type.clone();
    let kind = kind.filter(|kind| valid_content_type(kind));
    let kind = kind.unwrap_or_else(|| OCTETS.to_owned());
    let is_inline = INLINE
        .iter()
        .any(|text| text.eq_ignore_ascii_case(essence(&kind)));
    let disposition = if is_inline {
        ContentDispositionType::Inline
    } else {
        ContentDispositionType::Attachment
    };
    let name = name.or_else(|| download.info.file_name.clone());
    let disposition = ContentDisposition::new(disposition).with_filename(name);
    let mut headers = headers(&kind, &disposition)?;
    let (size, etag) = (download.size, download.hash.map(etag));
    let part = match (&etag, size) {
        (Some(etag), _) if range::is_known(&head.headers, etag) => {
            return not_modified(etag);
        }
        (Some(etag), Some(size)) => range::part(&head.headers, size, etag),
        _ => Part::Whole,
    };
    if let Some(etag) = &etag {
        headers.insert(ETAG, value(etag)?);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    }
    let (status, range, length) = match (part, size) {
        (Part::Beyond, size) => return beyond(size.unwrap_or_default()),
        (Part::Range(range), Some(size)) => {
            let place = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            headers.insert(CONTENT_RANGE, value(&place)?);
            let length = range.end - range.start;
            (StatusCode::PARTIAL_CONTENT, Some(range), Some(length))
        }
        (_, size) => (StatusCode::OK, None, size),
    };
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    if head.method == Method::HEAD {
        return Ok(whole(status, headers, Body::default()));
    }
    let bits = download.read(range).await.map_err(refuse_download)?;
    Ok(whole(status, headers, streamed(bits)))
}

/// A thumbnail, whose type this server chose itself.
pub(super) fn thumbnail(
    head: &Parts,
    kind: &str,
    size: u64,
    hash: ContentHash,
    bits: Bits,
) -> Result<AxumResponse, ApiError> {
    let etag = etag(hash);
    if range::is_known(&head.headers, &etag) {
        return not_modified(&etag);
    }
    let name = format!("thumbnail.{}", kind.rsplit('/').next().unwrap_or_default());
    let disposition =
        ContentDisposition::new(ContentDispositionType::Inline).with_filename(Some(name));
    let mut headers = headers(kind, &disposition)?;
    headers.insert(ETAG, value(&etag)?);
    headers.insert(CONTENT_LENGTH, size.into());
    let body = match head.method {
        Method::HEAD => Body::default(),
        _ => streamed(bits),
    };
    Ok(whole(StatusCode::OK, headers, body))
}

fn headers(kind: &str, disposition: &ContentDisposition) -> Result<HeaderMap, ApiError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, value(kind)?);
    headers.insert(CONTENT_DISPOSITION, value(&disposition.to_string())?);
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("cross-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(CACHE));
    Ok(headers)
}

fn not_modified(etag: &str) -> Result<AxumResponse, ApiError> {
    let mut headers = HeaderMap::new();
    headers.insert(ETAG, value(etag)?);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(CACHE));
    Ok(whole(StatusCode::NOT_MODIFIED, headers, Body::default()))
}

fn beyond(size: u64) -> Result<AxumResponse, ApiError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_RANGE, value(&format!("bytes */{size}"))?);
    let status = StatusCode::RANGE_NOT_SATISFIABLE;
    Ok(whole(status, headers, Body::default()))
}

fn redirect(url: &str) -> Result<AxumResponse, ApiError> {
    let mut headers = HeaderMap::new();
    headers.insert(LOCATION, value(url)?);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let status = StatusCode::TEMPORARY_REDIRECT;
    Ok(whole(status, headers, Body::default()))
}

fn etag(hash: ContentHash) -> String {
    format!("\"{hash}\"")
}

fn value(text: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(text).map_err(ApiError::internal)
}

/// A body that is sent while it is read. After an error the connection is closed early, which is
/// all that its client learns.
fn streamed(bits: Bits) -> Body {
    Body::from_stream(bits.inspect(|bytes| {
        if let Err(error) = bytes {
            tracing::warn!(%error, "aborted a download");
        }
    }))
}

/// The one place where a streamed answer is put together.
fn whole(status: StatusCode, headers: HeaderMap, body: Body) -> AxumResponse {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    AxumResponse(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_content_types_are_content_types() {
        for text in [
            "image/png",
            "text/plain; charset=utf-8",
            "application/vnd.a.b+json",
        ] {
            assert!(valid_content_type(text), "{text}");
        }
        for text in [
            "",
            "image",
            "/",
            "a/",
            "text/html\r\nSet-Cookie: a",
            "a b/c",
            "té/x",
            "a/b/c",
        ] {
            assert!(!valid_content_type(text), "{text}");
        }
    }

    #[test]
    fn names_cannot_leave_their_header() {
        for name in [
            "a\r\nSet-Cookie: b",
            "\"; x=\"",
            "na\u{ef}ve.png",
            "\u{202e}gnp.exe",
            "\0",
        ] {
            let disposition = ContentDisposition::new(ContentDispositionType::Attachment)
                .with_filename(Some(name.to_owned()));
            let text = disposition.to_string();
            assert!(HeaderValue::from_str(&text).is_ok(), "{text:?}");
            let read: ContentDisposition = text.parse().expect("it is valid");
            assert_eq!(read.disposition_type, ContentDispositionType::Attachment);
        }
    }
}
