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

    /// Reads what an earlier release wrote, without its version byte.
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
        let corrupt = StoreError::Corrupt(std::any::type_name::<R>());
        let Some((version, rest)) = raw.split_first() else { return Err(corrupt) };
        if *version != R::VERSION {
            return R::decode_older(*version, rest);
        }
        postcard::from_bytes(rest).map_err(|_| corrupt)
    }
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
        Ok(Self::from_be_bytes(number.try_into().map_err(|_| StoreError::Corrupt("number"))?))
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
        let (value, at) = raw.split_last_chunk().ok_or(StoreError::Corrupt("placed value"))?;
        Ok(Self { value: V::decode(value)?, position: Position::from_bytes(*at) })
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
