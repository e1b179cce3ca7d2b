//! The `Authorization` header with the scheme `X-Matrix` (RFC 9110, section 11.4). The parser is strict: what is not in the
//! grammar is refused, with one exception that the specification asks for, colons in values without quotes.

use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use ruma::OwnedServerName;

use crate::keys::{decode, is_key_id};

const SCHEME: &str = "X-Matrix";
/// Longer headers are refused: two server names, a key id and a signature need 900 bytes.
const LONGEST: usize = 4096;
/// Headers of one request, one for each key.
const MOST_HEADERS: usize = 8;

/// What the headers of a request say of its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct XMatrix {
    pub origin: OwnedServerName,
    /// Old servers do not send it.
    pub destination: Option<OwnedServerName>,
    /// By key id.
    pub signatures: Vec<(String, [u8; 64])>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("the request is not signed")]
    Missing,
    #[error("the Authorization header is malformed: {0}")]
    Malformed(&'static str),
}

impl XMatrix {
    /// Several headers are several signatures of one request, so they must agree on the servers.
    pub fn of(headers: &HeaderMap) -> Result<Self, HeaderError> {
        let mut found: Option<Self> = None;
        for (count, value) in headers.get_all(AUTHORIZATION).iter().enumerate() {
            if count == MOST_HEADERS {
                return Err(HeaderError::Malformed("there are too many of them"));
            }
            let next = Self::parse(value)?;
            match &mut found {
                None => found = Some(next),
                Some(found) => {
                    if found.origin != next.origin || found.destination != next.destination {
                        return Err(HeaderError::Malformed("they name different servers"));
                    }
                    found.signatures.extend(next.signatures);
                }
            }
        }
        found.ok_or(HeaderError::Missing)
    }

    fn parse(value: &HeaderValue) -> Result<Self, HeaderError> {
        let malformed = HeaderError::Malformed;
        if value.len() > LONGEST {
            return Err(malformed("it is too long"));
        }
        let text = value.to_str().map_err(|_| malformed("it is not ASCII"))?;
        let (scheme, rest) = text
            .split_once(' ')
            .ok_or(malformed("it has no parameters"))?;
        if !scheme.eq_ignore_ascii_case(SCHEME) {
            return Err(HeaderError::Missing);
        }
        let [mut origin, mut destination, mut key, mut signature] = [const { None }; 4];
        let mut parameters = Parameters(rest.trim_start_matches(' '));
        while let Some((name, value)) = parameters.next()? {
            let place = match name.to_ascii_lowercase().as_str() {
                "origin" => &mut origin,
                "destination" => &mut destination,
                "key" => &mut key,
                "sig" => &mut signature,
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(malformed("a parameter is there twice"));
            }
        }
        let server = |name: String| {
            OwnedServerName::try_from(name).map_err(|_| malformed("it has an invalid server name"))
        };
        let key = key.ok_or(malformed("it has no key"))?;
        if !is_key_id(&key) {
            return Err(malformed("its key is not one of ed25519"));
        }
        let signature = signature.ok_or(malformed("it has no signature"))?;
        let signature = decode(&signature).ok_or(malformed("its signature has the wrong form"))?;
        Ok(Self {
            origin: server(origin.ok_or(malformed("it has no origin"))?)?,
            destination: destination.map(server).transpose()?,
            signatures: vec![(key, signature)],
        })
    }
}

/// What is left of a list of parameters: `name=value`, separated by commas, of which none is left out.
struct Parameters<'a>(&'a str);

impl Parameters<'_> {
    fn next(&mut self) -> Result<Option<(String, String)>, HeaderError> {
        let malformed = HeaderError::Malformed;
        if self.0.is_empty() {
            return Ok(None);
        }
        let name = self.take_while(is_token);
        if name.is_empty() {
            return Err(malformed("a parameter has no name"));
        }
        self.expect('=')
            .ok_or(malformed("a parameter has no value"))?;
        let value = if self.0.starts_with('"') {
            self.quoted()
                .ok_or(malformed("a quoted value does not end"))?
        } else {
            let value = self.take_while(|byte| is_token(byte) || byte == b':');
            if value.is_empty() {
                return Err(malformed("a parameter has no value"));
            }
            value
        };
        self.take_while(is_blank);
        if !self.0.is_empty() {
            self.expect(',')
                .ok_or(malformed("two parameters have no comma between them"))?;
            self.take_while(is_blank);
            if self.0.is_empty() {
                return Err(malformed("it ends with a comma"));
            }
        }
        Ok(Some((name, value)))
    }

    fn take_while(&mut self, is_taken: impl Fn(u8) -> bool) -> String {
        let end = self
            .0
            .bytes()
            .position(|byte| !is_taken(byte))
            .unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken.to_owned()
    }

    fn expect(&mut self, wanted: char) -> Option<()> {
        self.0 = self.0.strip_prefix(wanted)?;
        Some(())
    }

    fn quoted(&mut self) -> Option<String> {
        let mut value = String::new();
        let mut letters = self.0.char_indices().skip(1);
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.0 = &self.0[at + 1..];
                    return Some(value);
                }
                '\\' => value.push(letters.next()?.1),
                letter => value.push(letter),
            }
        }
        None
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
    use proptest::prelude::*;

    use super::*;

    fn signature() -> String {
        STANDARD_NO_PAD.encode([7; 64])
    }

    fn of(values: &[&str]) -> Result<XMatrix, HeaderError> {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = value.replace("SIG", &signature());
            headers.append(
                AUTHORIZATION,
                HeaderValue::from_str(&value).expect("a value"),
            );
        }
        XMatrix::of(&headers)
    }

    #[test]
    fn the_forms_of_the_specification_are_read() {
        let expected = XMatrix {
            origin: ruma::owned_server_name!("a.example:8448"),
            destination: Some(ruma::owned_server_name!("b.example")),
            signatures: vec![("ed25519:key1".to_owned(), [7; 64])],
        };
        for value in [
            r#"X-Matrix origin="a.example:8448",destination="b.example",key="ed25519:key1",sig="SIG""#,
            r#"x-matrix   ORIGIN=a.example:8448 ,  Destination=b.example,	key=ed25519:key1,sig="SIG""#,
            r#"X-Matrix sig="SIG",key=ed25519:key1,unknown="a\",b",destination="b.example",origin="a.example:8448""#,
            r#"X-Matrix origin="a\.example:844\8",destination=b.example,key="ed25519:key1",sig="SIG==""#,
        ] {
            assert_eq!(of(&[value]).as_ref(), Ok(&expected), "{value}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for value in [
            "X-Matrix",
            "X-Matrix ",
            "X-Matrix origin=a",
            r#"X-Matrix origin="a",key="ed25519:1",sig="SIG","#,
            r#"X-Matrix ,origin="a",key="ed25519:1",sig="SIG""#,
            r#"X-Matrix origin="a",,key="ed25519:1",sig="SIG""#,
            r#"X-Matrix origin="a" key="ed25519:1",sig="SIG""#,
            r#"X-Matrix origin="a"key="ed25519:1",sig="SIG""#,
            r#"X-Matrix origin="a",origin="a",key="ed25519:1",sig="SIG""#,
            r#"X-Matrix origin="a",Origin="b",key="ed25519:1",sig="SIG""#,
            r#"X-Matrix origin="a,key="ed25519:1",sig="SIG""#,
            r#"X-Matrix origin="a",key="ed25519:1",sig="SIG"#,
            r#"X-Matrix origin="a",key="ed25519:1",sig="AAAA""#,
            r#"X-Matrix origin="a",key="ed25519:1",sig="!!!!""#,
            r#"X-Matrix origin="a",key="rsa:1",sig="SIG""#,
            r#"X-Matrix origin="a b",key="ed25519:1",sig="SIG""#,
            r#"X-Matrix origin="",key="ed25519:1",sig="SIG""#,
            r#"X-Matrix origin=,key="ed25519:1",sig="SIG""#,
            r#"X-Matrix origin ="a",key="ed25519:1",sig="SIG""#,
            r#"X-Matrix origin="a",destination="",key="ed25519:1",sig="SIG""#,
        ] {
            assert!(
                matches!(of(&[value]), Err(HeaderError::Malformed(_))),
                "{value}"
            );
        }
        assert_eq!(of(&["Bearer abc"]), Err(HeaderError::Missing));
        assert_eq!(of(&[]), Err(HeaderError::Missing));
    }

    #[test]
    fn several_headers_are_several_signatures_of_one_server() {
        let one = r#"X-Matrix origin="a",destination="b",key="ed25519:1",sig="SIG""#;
        let two = r#"X-Matrix origin="a",destination="b",key="ed25519:2",sig="SIG""#;
        let found = of(&[one, two]).expect("they agree");
        assert_eq!(found.signatures.len(), 2);

        let other = r#"X-Matrix origin="c",destination="b",key="ed25519:2",sig="SIG""#;
        assert!(of(&[one, other]).is_err());
        let elsewhere = r#"X-Matrix origin="a",destination="c",key="ed25519:2",sig="SIG""#;
        assert!(of(&[one, elsewhere]).is_err());
        assert!(of(&[one; 9]).is_err());
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(value in "[ -~\t]{0,200}") {
            let _ = of(&[&value]);
            let _ = of(&[&format!("X-Matrix {value}")]);
        }

        #[test]
        fn what_is_quoted_comes_back(name in "[a-z0-9.-]{1,30}", version in "[a-zA-Z0-9_]{1,20}") {
            let quoted: String = name.chars().flat_map(|letter| ['\\', letter]).collect();
            let value =
                format!("X-Matrix origin=\"{quoted}\",key=\"ed25519:{version}\",sig=\"SIG\"");
            let found = of(&[&value]).expect("it is in the grammar");
            prop_assert_eq!(found.origin.as_str(), name);
            prop_assert_eq!(&found.signatures[0].0, &format!("ed25519:{version}"));
        }

        #[test]
        fn a_header_that_lost_its_end_is_refused(end in 0_usize..150) {
            let value = r#"X-Matrix origin="a.example",key="ed25519:1",sig="SIG""#;
            let value = value.replace("SIG", &signature());
            let end = end.min(value.len() - 1);
            prop_assert!(of(&[&value[..end]]).is_err());
        }
    }
}
