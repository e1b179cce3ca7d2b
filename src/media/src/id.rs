//! Names of media: `mxc://server/id` to clients, a SHA-256 hash to the storage ("Matrix Content
//! URIs" of the client-server API).
//!
//! Both are checked where they are made, so no path or request is ever built from anything else.

use std::fmt;

use database::{KeyPart, PartRef, Random, StoreError};
use ruma::{OwnedMxcUri, OwnedServerName, ServerName};
use serde::{Deserialize, Serialize};

/// Letters and digits of a new media id: 142 bits, so ids cannot be guessed.
const ID_LENGTH: usize = 24;
const LONGEST_ID: usize = 255;

/// Where media is found: the server it was uploaded to, and its id there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mxc {
    server: OwnedServerName,
    id: String,
}

impl Mxc {
    /// `None` if the id holds anything but `A-Z`, `a-z`, `0-9`, `_` and `-`.
    pub fn new(server: &ServerName, id: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        let is_valid = (1..=LONGEST_ID).contains(&id.len()) && id.bytes().all(is_plain);
        is_valid.then(|| Self {
            server: server.to_owned(),
            id: id.to_owned(),
        })
    }

    /// From `mxc://server/id`.
    pub fn parse(uri: &str) -> Option<Self> {
        let (server, id) = uri.strip_prefix("mxc://")?.split_once('/')?;
        Self::new(&OwnedServerName::try_from(server).ok()?, id)
    }

    pub(crate) fn random(server: &ServerName, random: &dyn Random) -> Self {
        Self {
            server: server.to_owned(),
            id: random.token(ID_LENGTH),
        }
    }

    pub fn server(&self) -> &ServerName {
        &self.server
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn uri(&self) -> OwnedMxcUri {
        self.to_string().into()
    }

    /// The key of its rows.
    pub(crate) fn key(&self) -> (&str, &str) {
        (self.server.as_str(), &self.id)
    }

    pub(crate) fn from_key(server: &str, id: &str) -> Result<Self, StoreError> {
        let parsed = OwnedServerName::try_from(server).ok();
        let mxc = parsed.and_then(|server| Self::new(&server, id));
        mxc.ok_or(StoreError::Corrupt("media names no server or id"))
    }
}

impl fmt::Display for Mxc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mxc://{}/{}", self.server, self.id)
    }
}

/// SHA-256 of a file: the name under which its content is stored, once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentHash({self})")
    }
}

impl KeyPart for ContentHash {
    type Ref<'a> = Self;

    fn write(part: Self, out: &mut Vec<u8>) {
        out.extend_from_slice(&part.0);
    }

    fn read(raw: &mut &[u8]) -> Result<Self, StoreError> {
        <[u8; 32]>::read(raw).map(Self)
    }
}

impl PartRef for ContentHash {
    type Part = Self;

    fn write_part(self, out: &mut Vec<u8>) {
        Self::write(self, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_leave_its_folder_is_no_id() {
        for id in [
            "..",
            "a/b",
            "a%2Fb",
            "a.b",
            "",
            "é",
            "a\0",
            &"a".repeat(256),
        ] {
            assert_eq!(Mxc::parse(&format!("mxc://example.org/{id}")), None, "{id}");
        }
        assert!(Mxc::parse("mxc://127.0.0.1:8448/aZ_-9").is_some());
        for uri in ["mxc:///a", "mxc://a b/c", "http://a/b", "mxc://a"] {
            assert_eq!(Mxc::parse(uri), None, "{uri}");
        }
    }

    #[test]
    fn a_hash_is_written_as_it_is_read() {
        let hash = ContentHash([0xab; 32]);
        assert_eq!(ContentHash::parse(&hash.to_string()), Some(hash));
        assert_eq!(ContentHash::parse("abc"), None);
    }
}
