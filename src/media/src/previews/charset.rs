//! The encoding of a page, as browsers find it: a byte order mark, the server's word, the page's
//! own, else UTF-8 if it is valid and windows-1252 if not.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// Bytes in which a page must name its encoding.
const PRESCAN: usize = 1024;

pub(super) fn decode<'a>(bytes: &'a [u8], served: Option<&str>) -> Cow<'a, str> {
    let served = served.and_then(|label| Encoding::for_label(label.as_bytes()));
    let encoding = served.or_else(|| named(&bytes[..bytes.len().min(PRESCAN)]));
    let encoding = encoding.unwrap_or_else(|| {
        // A page that was cut may end within a character.
        match str::from_utf8(bytes) {
            Ok(_) => UTF_8,
            Err(error) if error.error_len().is_none() => UTF_8,
            Err(_) => WINDOWS_1252,
        }
    });
    // Looks for a byte order mark itself.
    encoding.decode(bytes).0
}

/// What follows `charset=` in the first bytes.
fn named(start: &[u8]) -> Option<&'static Encoding> {
    const KEY: &[u8] = b"charset";
    let text = start.to_ascii_lowercase();
    let mut at = 0;
    while let Some(found) = text[at..]
        .windows(KEY.len())
        .position(|window| window == KEY)
    {
        at += found + KEY.len();
        let rest = text[at..].trim_ascii_start();
        let Some(rest) = rest.strip_prefix(b"=") else {
            continue;
        };
        let rest = rest.trim_ascii_start();
        let rest = rest
            .strip_prefix(b"\"")
            .or(rest.strip_prefix(b"'"))
            .unwrap_or(rest);
        let is_label = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_:".contains(byte);
        let length = rest.iter().take_while(|byte| is_label(byte)).count();
        if let Some(encoding) = Encoding::for_label(&rest[..length]) {
            // A page whose tags can be read as bytes is not in UTF-16.
            return Some(encoding.output_encoding());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_found_where_browsers_find_it() {
        assert_eq!(decode(b"caf\xe9", Some("iso-8859-1")), "café");
        assert_eq!(
            decode(b"<meta charset=\"windows-1251\">\xcf\xf0", None),
            "<meta charset=\"windows-1251\">Пр"
        );
        let old = b"<meta http-equiv=Content-Type content='text/html; charset=Shift_JIS'>\x93\xfa";
        assert!(decode(old, None).ends_with('日'));
        assert_eq!(decode("caf\u{e9}".as_bytes(), None), "café");
        assert_eq!(decode(b"caf\xe9 noir", None), "café noir");
        assert_eq!(decode(b"\xef\xbb\xbfx", Some("iso-8859-1")), "x");
        assert_eq!(decode(b"x", Some("no such encoding")), "x");
    }
}
