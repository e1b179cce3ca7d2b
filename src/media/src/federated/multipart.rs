//! `multipart/mixed` of two parts: a JSON object about the file, then the file (RFC 2046, section 5.1). The file is read as it
//! arrives.

use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};

use crate::storage::Bits;

/// Bytes before the file: boundaries, headers, the JSON object.
const LONGEST_HEAD: usize = 64 * 1024;
/// By RFC 2046.
const LONGEST_BOUNDARY: usize = 70;
const MOST_HEADERS: usize = 32;

/// An answer of which nothing was read yet.
pub(super) struct Parts {
    /// What ends a part: a line break, two dashes, the boundary.
    delimiter: Vec<u8>,
    buffer: BytesMut,
    bits: Bits,
}

impl Parts {
    pub(super) fn of(headers: &HeaderMap, bits: Bits) -> io::Result<Self> {
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let boundary = kind.and_then(boundary).ok_or_else(malformed)?;
        Ok(Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // The first delimiter may lack its line break.
            buffer: BytesMut::from(&b"\r\n"[..]),
            bits,
        })
    }

    /// The headers of the second part, and its bytes.
    pub(super) async fn second(mut self) -> io::Result<(HeaderMap, Bits)> {
        let mut left = LONGEST_HEAD;
        let delimiter = self.delimiter.clone();
        self.skip_past(&delimiter, &mut left).await?;
        self.skip_past(b"\r\n\r\n", &mut left).await?;
        // What ends the headers of an empty part may begin its delimiter.
        self.skip_past(&delimiter, &mut left).await?;
        let line = self.skip_past(b"\r\n", &mut left).await?;
        if !line.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            return Err(malformed());
        }
        let mut headers = HeaderMap::new();
        loop {
            let line = self.skip_past(b"\r\n", &mut left).await?;
            if line.is_empty() {
                break;
            }
            if headers.len() == MOST_HEADERS {
                return Err(malformed());
            }
            let (name, value) = header(&line).ok_or_else(malformed)?;
            headers.append(name, value);
        }
        let rest = stream::try_unfold(Some(self), Self::next).boxed();
        Ok((headers, rest))
    }

    /// What is before `end`, which is skipped too.
    async fn skip_past(&mut self, end: &[u8], left: &mut usize) -> io::Result<Bytes> {
        loop {
            if let Some(at) = find(&self.buffer, end) {
                let before = self.buffer.split_to(at).freeze();
                self.buffer.advance(end.len());
                return Ok(before);
            }
            let more = self.bits.try_next().await?.ok_or_else(broken_off)?;
            *left = left.checked_sub(more.len()).ok_or_else(malformed)?;
            self.buffer.extend_from_slice(&more);
        }
    }

    /// The next bytes of the file. Those that may begin a delimiter wait for what follows.
    async fn next(parts: Option<Self>) -> io::Result<Option<(Bytes, Option<Self>)>> {
        let Some(mut parts) = parts else {
            return Ok(None);
        };
        loop {
            if let Some(at) = find(&parts.buffer, &parts.delimiter) {
                let last = parts.buffer.split_to(at).freeze();
                return Ok(Some((last, None)));
            }
            let sure = (parts.buffer.len() + 1).saturating_sub(parts.delimiter.len());
            if sure > 0 {
                let bytes = parts.buffer.split_to(sure).freeze();
                return Ok(Some((bytes, Some(parts))));
            }
            let more = parts.bits.try_next().await?.ok_or_else(broken_off)?;
            parts.buffer.extend_from_slice(&more);
        }
    }
}

/// The boundary of a `multipart/mixed` content type.
fn boundary(kind: &str) -> Option<String> {
    let mut parameters = kind.split(';');
    if !parameters
        .next()?
        .trim()
        .eq_ignore_ascii_case("multipart/mixed")
    {
        return None;
    }
    let boundary = parameters.find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.eq_ignore_ascii_case("boundary")
            .then(|| value.trim_matches('"').to_owned())
    })?;
    let is_valid = (1..=LONGEST_BOUNDARY).contains(&boundary.len())
        && boundary.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    is_valid.then_some(boundary)
}

fn header(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let name = HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

/// Linear in practice: few bytes of a file begin a line break.
fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(at) = text[from..].iter().position(|byte| *byte == first) {
        let at = from + at;
        if text[at..].starts_with(wanted) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

fn malformed() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the answer is not a file in two parts",
    )
}

fn broken_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the file broke off")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: &str = "multipart/mixed; boundary=gap";

    /// Reads an answer that arrives in pieces of `size` bytes.
    async fn read(kind: &str, text: &[u8], size: usize) -> io::Result<(HeaderMap, Vec<u8>)> {
        let pieces: Vec<io::Result<Bytes>> = text
            .chunks(size)
            .map(|piece| Ok(Bytes::copy_from_slice(piece)))
            .collect();
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_str(kind).map_err(io::Error::other)?,
        );
        let parts = Parts::of(&headers, stream::iter(pieces).boxed())?;
        let (headers, bits) = parts.second().await?;
        let bytes: Vec<Bytes> = bits.try_collect().await?;
        Ok((headers, bytes.concat()))
    }

    fn answer(file: &[u8], end: &[u8]) -> Vec<u8> {
        let head = b"--gap\r\nContent-Type: application/json\r\n\r\n{}\r\n--gap\r\n\
            Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\n";
        [&head[..], file, end].concat()
    }

    #[tokio::test]
    async fn a_file_is_read_however_it_arrives() {
        for file in [&b"text"[..], b"", b"a\r\n--ga\r\n--g\r\r\n-", b"\r\n\r\n"] {
            for end in [&b"\r\n--gap--\r\n"[..], b"\r\n--gap--", b"\r\n--gap"] {
                let text = answer(file, end);
                for size in 1..=text.len() {
                    let (headers, read) = read(KIND, &text, size).await.expect("it is whole");
                    assert_eq!(read, file, "in pieces of {size}");
                    assert_eq!(headers[CONTENT_TYPE], "text/plain");
                }
            }
        }
    }

    #[tokio::test]
    async fn the_first_delimiter_may_have_a_line_break() {
        let text = [b"\r\n", &answer(b"text", b"\r\n--gap--")[..]].concat();
        let (_, read) = read(r#"Multipart/Mixed; boundary="gap""#, &text, 7)
            .await
            .expect("whole");
        assert_eq!(read, b"text");
    }

    #[tokio::test]
    async fn what_is_not_a_file_in_two_parts_is_refused() {
        let good = answer(b"text", b"\r\n--gap--");
        for kind in [
            "text/plain",
            "multipart/mixed",
            "multipart/mixed; boundary=",
            "x; boundary=gap",
        ] {
            assert!(read(kind, &good, 8).await.is_err(), "{kind}");
        }
        let long = [b"--gap\r\n", &vec![b'a'; LONGEST_HEAD][..]].concat();
        let many = format!(
            "--gap\r\n\r\n{{}}\r\n--gap\r\n{}\r\n",
            "a: b\r\n".repeat(MOST_HEADERS + 1)
        );
        for text in [
            &b""[..],
            b"--gap--",
            b"--gap\r\n\r\n{}\r\n--gap--\r\n",
            b"--gap\r\n\r\n{}\r\n--gap\r\nno header\r\n\r\n",
            &good[..good.len() - 9],
            &long,
            many.as_bytes(),
        ] {
            assert!(read(KIND, text, 8).await.is_err());
        }
    }
}
