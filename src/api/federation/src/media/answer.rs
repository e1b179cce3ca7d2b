//! A file as the second of two parts.

use ::media::storage::Bits;
use bytes::Bytes;
use database::Random;
use edge::{ApiError, AxumResponse, Body};
use futures_util::{StreamExt as _, stream};
use http::{
    HeaderValue, Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use ruma::http_headers::{ContentDisposition, ContentDispositionType};

/// Random, so that no file contains it.
const BOUNDARY: usize = 40;
const OCTETS: &str = "application/octet-stream";

/// The headers of the second part, and its bytes. A place elsewhere has none.
pub(super) enum Part {
    File {
        content_type: Option<String>,
        name: Option<String>,
        size: Option<u64>,
        bits: Bits,
    },
    Location(String),
}

pub(super) fn parts(random: &dyn Random, part: Part) -> Result<AxumResponse, ApiError> {
    let boundary = random.token(BOUNDARY);
    let begin =
        format!("--{boundary}\r\nContent-Type: application/json\r\n\r\n{{}}\r\n--{boundary}\r\n");
    let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
    let (headers, size, bits) = match part {
        Part::Location(url) => {
            let url = HeaderValue::try_from(url).map_err(ApiError::internal)?;
            let url = url.to_str().map_err(ApiError::internal)?;
            (
                format!("Location: {url}\r\n\r\n"),
                Some(0),
                stream::empty().boxed(),
            )
        }
        Part::File {
            content_type,
            name,
            size,
            bits,
        } => (file_headers(content_type, name), size, bits),
    };
    let begin = Bytes::from(begin + &headers);
    let around = (begin.len() + end.len()) as u64;
    let once = |bytes: Bytes| stream::once(async move { Ok(bytes) });
    let body = once(begin).chain(bits).chain(once(end));
    let mut response = Response::new(Body::from_stream(body));
    let kind = format!("multipart/mixed; boundary={boundary}");
    let kind = HeaderValue::try_from(kind).map_err(ApiError::internal)?;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    if let Some(size) = size {
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, (size + around).into());
    }
    Ok(AxumResponse(response))
}

/// What an uploader has said of a file, as far as it can be said in headers.
fn file_headers(content_type: Option<String>, name: Option<String>) -> String {
    let is_plain = |kind: &String| kind.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let content_type = content_type.filter(is_plain);
    let content_type = content_type.as_deref().unwrap_or(OCTETS);
    let disposition = ContentDisposition::new(ContentDispositionType::Attachment);
    let disposition = disposition.with_filename(name);
    format!("Content-Type: {content_type}\r\nContent-Disposition: {disposition}\r\n\r\n")
}
