//! The value codec: a format version in the first byte, then the value.
//!
//! Records are postcard of their serde form. Postcard is not self-describing: fields are written
//! in order without names, so a released record changes only by a new version (see
//! [`Record::decode_older`]). Text and bytes are stored as they are.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    error::{Result, StoreError},
    stamp::{Placed, Position},
};

/// What a table stores.
pub trait Value: Sized + Send {
    fn encode(&self, out: &mut Vec<u8>);
    fn decode(raw: &[u8]) -> Result<Self>;
}

/// A type whose serde form is stored. No `flatten`, `skip_serializing_if`, `untagged` or JSON
/// values inside: postcard cannot read them back. JSON is held as `String`.
pub trait Record: Serialize + DeserializeOwned + Send {
    /// The format that is written.
    const VERSION: u8 = 1;

    /// Reads the form of an earlier release, without its version byte.
    fn decode_older(version: u8, raw: &[u8]) -> Result<Self> {
        let _ = (version, raw);
        Err(StoreError::Corrupt(std::any::type_name::<Self>()))
    }
}

impl<R: Record> Value for R {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut buffer = std::mem::take(out);
        buffer.push(R::VERSION);
        *out = postcard::to_extend(self, buffer).expect("a record's serde form is plain data");
    }

    fn decode(raw: &[u8]) -> Result<Self> {
        let Some((version, rest)) = raw.split_first() else {
            return Err(StoreError::Corrupt(std::any::type_name::<R>()));
        };
        if *version != R::VERSION {
            return R::decode_older(*version, rest);
        }
        decode_form(rest)
    }
}

/// Reads a serde form, such as an older one of a [`Record`], without its version byte.
pub fn decode_form<T: DeserializeOwned>(raw: &[u8]) -> Result<T> {
    postcard::from_bytes(raw).map_err(|_| StoreError::Corrupt(std::any::type_name::<T>()))
}

/// Presence is all there is to know.
impl Value for () {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &[u8]) -> Result<Self> {
        Ok(())
    }
}

const PLAIN: u8 = 1;

impl Value for u64 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(PLAIN);
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn decode(raw: &[u8]) -> Result<Self> {
        let number = plain(raw, "number")?;
        Ok(Self::from_be_bytes(
            number
                .try_into()
                .map_err(|_| StoreError::Corrupt("number"))?,
        ))
    }
}

impl Value for String {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(PLAIN);
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(raw: &[u8]) -> Result<Self> {
        text(raw).map(str::to_owned)
    }
}

impl Value for Arc<str> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(PLAIN);
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(raw: &[u8]) -> Result<Self> {
        text(raw).map(Self::from)
    }
}

impl Value for Vec<u8> {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(PLAIN);
        out.extend_from_slice(self);
    }

    fn decode(raw: &[u8]) -> Result<Self> {
        plain(raw, "bytes").map(<[u8]>::to_vec)
    }
}

impl<V: Value> Value for Placed<V> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.value.encode(out);
        out.extend_from_slice(&self.position.to_bytes());
    }

    fn decode(raw: &[u8]) -> Result<Self> {
        let (value, at) = raw
            .split_last_chunk()
            .ok_or(StoreError::Corrupt("placed value"))?;
        Ok(Self {
            value: V::decode(value)?,
            position: Position::from_bytes(*at),
        })
    }
}

fn plain<'a>(raw: &'a [u8], what: &'static str) -> Result<&'a [u8]> {
    match raw.split_first() {
        Some((&PLAIN, rest)) => Ok(rest),
        _ => Err(StoreError::Corrupt(what)),
    }
}

fn text(raw: &[u8]) -> Result<&str> {
    std::str::from_utf8(plain(raw, "text")?).map_err(|_| StoreError::Corrupt("text"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::Stamp;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        name: String,
    }

    impl Record for Old {}

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        name: String,
        age: Option<u32>,
    }

    impl Record for New {
        const VERSION: u8 = 2;

        fn decode_older(_: u8, raw: &[u8]) -> Result<Self> {
            let old: Old = decode_form(raw)?;
            Ok(Self {
                name: old.name,
                age: None,
            })
        }
    }

    fn raw(value: &impl Value) -> Vec<u8> {
        let mut out = Vec::new();
        value.encode(&mut out);
        out
    }

    #[test]
    fn values_come_back() {
        let new = New {
            name: "alice".to_owned(),
            age: Some(300),
        };
        assert_eq!(New::decode(&raw(&new)), Ok(new));
        for text in ["", "x", "\0\u{1}"] {
            assert_eq!(String::decode(&raw(&text.to_owned())), Ok(text.to_owned()));
        }
        assert_eq!(<Vec<u8>>::decode(&raw(&vec![0, 255])), Ok(vec![0, 255]));
        assert_eq!(u64::decode(&raw(&u64::MAX)), Ok(u64::MAX));
        assert_eq!(<()>::decode(&raw(&())), Ok(()));
        let placed = Placed {
            value: 5_u64,
            position: Position(Stamp(9), 2),
        };
        assert_eq!(<Placed<u64>>::decode(&raw(&placed)), Ok(placed));
    }

    #[test]
    fn a_new_release_reads_what_an_old_one_wrote() {
        let old = raw(&Old {
            name: "bob".to_owned(),
        });
        assert_eq!(
            New::decode(&old),
            Ok(New {
                name: "bob".to_owned(),
                age: None
            })
        );
        let new = raw(&New {
            name: "bob".to_owned(),
            age: None,
        });
        assert!(Old::decode(&new).is_err(), "an old one does not guess");
    }

    /// What released versions have written; these bytes never change.
    #[test]
    fn the_released_bytes_are_written() {
        assert_eq!(
            raw(&Old {
                name: "ab".to_owned()
            }),
            [1, 2, b'a', b'b']
        );
        assert_eq!(raw(&258_u64), [1, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(raw(&"ab".to_owned()), [1, b'a', b'b']);
        let placed = Placed {
            value: (),
            position: Position(Stamp(1), 2),
        };
        assert_eq!(raw(&placed), [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]);
    }

    #[test]
    fn damaged_values_are_errors() {
        assert!(Old::decode(&[]).is_err());
        assert!(Old::decode(&[1, 9, b'a']).is_err());
        assert!(u64::decode(&[1, 2]).is_err());
        assert!(String::decode(&[1, 0xff]).is_err());
        assert!(<Placed<()>>::decode(&[0; 11]).is_err());
    }
}
