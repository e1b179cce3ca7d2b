//! The key document of another server: what `GET /_matrix/key/v2/server` returns (server-server API, "Publishing Keys").

use std::collections::BTreeMap;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use database::Millis;
use protocol::content::Content;
use ruma::{OwnedServerName, ServerName};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{ServerKey, publish::signed_part, validity::public_key};

/// Larger documents are refused.
pub(crate) const LARGEST: usize = 32 * 1024;
/// More keys are refused, old ones included.
pub(super) const MOST_KEYS: usize = 128;
const LONGEST_KEY_ID: usize = 255;

/// Base64 with or without padding, as servers write it.
pub(crate) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A document that its server has signed. [`KeyDocument::check`] is the only way to get one.
#[derive(Clone, Debug)]
pub struct KeyDocument {
    server_name: OwnedServerName,
    valid_until: Millis,
    keys: BTreeMap<String, Published>,
    object: Map<String, Value>,
    json: String,
}

#[derive(Clone, Copy, Debug)]
struct Published {
    public: [u8; 32],
    expired: Option<Millis>,
}

/// A key of a document.
#[derive(Clone, Copy, Debug)]
pub struct PublishedKey<'a> {
    pub id: &'a str,
    pub public: [u8; 32],
    /// When the server stopped using it.
    pub expired: Option<Millis>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("the key document is malformed: {0}")]
    Malformed(String),
    #[error("the key document is that of {0}")]
    OtherServer(OwnedServerName),
    #[error("the key document has no valid signature of its server")]
    Signature,
}

#[derive(Deserialize)]
struct Form {
    server_name: OwnedServerName,
    verify_keys: BTreeMap<String, FormKey>,
    #[serde(default)]
    old_verify_keys: BTreeMap<String, FormOldKey>,
    signatures: BTreeMap<String, BTreeMap<String, String>>,
    valid_until_ts: u64,
}

#[derive(Deserialize)]
struct FormKey {
    key: String,
}

#[derive(Deserialize)]
struct FormOldKey {
    key: String,
    expired_ts: u64,
}

impl KeyDocument {
    /// Checks that the document is of `server`, and signed by it with a key that it lists as current; all of the
    /// signatures by such keys must be valid.
    pub fn check(json: &str, server: &ServerName) -> Result<Self, DocumentError> {
        let malformed = |error: &dyn std::fmt::Display| DocumentError::Malformed(error.to_string());
        if json.len() > LARGEST {
            return Err(malformed(&"it is too large"));
        }
        let canonical = Content::parse(json).map_err(|error| malformed(&error))?;
        let canonical = canonical.as_str();
        let object: Map<_, _> =
            serde_json::from_str(canonical).map_err(|error| malformed(&error))?;
        let form: Form = serde_json::from_str(canonical).map_err(|error| malformed(&error))?;
        if form.server_name != server {
            return Err(DocumentError::OtherServer(form.server_name));
        }
        if form.verify_keys.len() + form.old_verify_keys.len() > MOST_KEYS {
            return Err(malformed(&"it has too many keys"));
        }
        check_signatures(&form, &signed_part(&object))?;
        Ok(Self {
            server_name: form.server_name.clone(),
            valid_until: Millis(form.valid_until_ts),
            keys: published(&form),
            object,
            json: canonical.to_owned(),
        })
    }

    pub fn server_name(&self) -> &ServerName {
        &self.server_name
    }

    /// As the server says, however far ahead.
    pub fn valid_until(&self) -> Millis {
        self.valid_until
    }

    /// Current ones and old ones. Keys of unknown algorithms and keys that must not be used are left out.
    pub fn keys(&self) -> impl Iterator<Item = PublishedKey<'_>> {
        self.keys.iter().map(|(id, key)| PublishedKey {
            id,
            public: key.public,
            expired: key.expired,
        })
    }

    /// Canonical JSON, with the signatures that it came with.
    pub fn json(&self) -> &str {
        &self.json
    }

    pub(super) fn object(&self) -> &Map<String, Value> {
        &self.object
    }

    /// Whether a key server has signed the document with this key of its own.
    pub(super) fn is_signed_by(&self, notary: &ServerName, key_id: &str, key: &ServerKey) -> bool {
        let signature = self
            .object
            .get("signatures")
            .and_then(|signatures| signatures.get(notary.as_str()))
            .and_then(|signatures| signatures.get(key_id))
            .and_then(Value::as_str);
        let message = signed_part(&self.object);
        signature
            .and_then(decode::<64>)
            .is_some_and(|signature| key.verify(message.as_bytes(), &signature))
    }

    /// The ids of the keys by which a server has signed the document.
    pub(super) fn signers(&self, server: &ServerName) -> Vec<String> {
        let signatures = self
            .object
            .get("signatures")
            .and_then(|signatures| signatures.get(server.as_str()))
            .and_then(Value::as_object);
        let ids = signatures
            .into_iter()
            .flat_map(Map::keys)
            .filter(|id| is_key_id(id));
        ids.take(MOST_KEYS).cloned().collect()
    }
}

fn check_signatures(form: &Form, message: &str) -> Result<(), DocumentError> {
    let own = form.signatures.get(form.server_name.as_str());
    let mut is_signed = false;
    for (id, signature) in own.into_iter().flatten() {
        let Some(key) = form.verify_keys.get(id).filter(|_| is_key_id(id)) else {
            continue;
        };
        let key = decode(&key.key).and_then(|bytes| public_key(&bytes));
        let (Some(key), Some(signature)) = (key, decode(signature)) else {
            return Err(DocumentError::Signature);
        };
        if !ServerKey::new(key, Millis(0), None).verify(message.as_bytes(), &signature) {
            return Err(DocumentError::Signature);
        }
        is_signed = true;
    }
    if is_signed {
        Ok(())
    } else {
        Err(DocumentError::Signature)
    }
}

fn published(form: &Form) -> BTreeMap<String, Published> {
    let old = form
        .old_verify_keys
        .iter()
        .map(|(id, old)| (id, &old.key, Some(Millis(old.expired_ts))));
    // A key that is listed as both is current.
    let all = old.chain(
        form.verify_keys
            .iter()
            .map(|(id, key)| (id, &key.key, None)),
    );
    let usable = all.filter_map(|(id, key, expired)| {
        let public = decode(key).filter(|bytes| public_key(bytes).is_some())?;
        is_key_id(id).then(|| (id.clone(), Published { public, expired }))
    });
    usable.collect()
}

/// Whether it names an ed25519 key.
pub(crate) fn is_key_id(id: &str) -> bool {
    let is_version = |version: &str| {
        !version.is_empty()
            && version
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    id.len() <= LONGEST_KEY_ID && id.strip_prefix("ed25519:").is_some_and(is_version)
}

pub(crate) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use database::{Clock as _, MockClock, SeededRandom, Store};
    use ruma::server_name;
    use serde_json::json;

    use super::*;
    use crate::keys::Keys;

    async fn document(name: &ServerName, seed: u64) -> String {
        let random = SeededRandom::new(seed);
        let clock = MockClock::default();
        let keys = Keys::open(&Store::memory(), &random, &clock, name.to_owned()).await;
        keys.expect("memory does not fail")
            .document(&clock)
            .to_string()
    }

    /// The document with one of its values replaced.
    fn changed(document: &str, pointer: &str, value: Value) -> String {
        let mut changed: Value = serde_json::from_str(document).expect("JSON");
        *changed.pointer_mut(pointer).expect("it is there") = value;
        changed.to_string()
    }

    #[tokio::test]
    async fn a_document_of_a_server_is_accepted_as_its_own_only() {
        let name = server_name!("a.example");
        let text = document(name, 1).await;
        let checked = KeyDocument::check(&text, name).expect("it is valid");
        assert_eq!(checked.json(), text);
        assert_eq!(checked.keys().count(), 1);
        let day = Duration::from_hours(24);
        assert_eq!(checked.valid_until(), MockClock::default().now().plus(day));
        assert_eq!(
            KeyDocument::check(&text, server_name!("b.example")).err(),
            Some(DocumentError::OtherServer(name.to_owned()))
        );
    }

    #[tokio::test]
    async fn a_document_that_was_changed_is_refused() {
        let name = server_name!("a.example");
        let text = document(name, 1).await;
        for (pointer, value) in [
            ("/valid_until_ts", json!(9_000_000_000_000_u64)),
            (
                "/old_verify_keys",
                json!({ "ed25519:x": { "key": "AAAA", "expired_ts": 1 } }),
            ),
            ("/signatures", json!({})),
            ("/signatures", json!({ "b.example": {} })),
            ("/verify_keys", json!({})),
        ] {
            let changed = changed(&text, pointer, value);
            assert_eq!(
                KeyDocument::check(&changed, name).err(),
                Some(DocumentError::Signature),
                "{pointer}"
            );
        }
    }

    #[tokio::test]
    async fn a_document_cannot_be_signed_by_a_key_of_another_server() {
        let name = server_name!("a.example");
        let own = document(name, 1).await;
        let other: Value = serde_json::from_str(&document(name, 2).await).expect("JSON");
        // The signature of the other key, under the id of the listed one.
        let own_id = serde_json::from_str::<Value>(&own).expect("JSON")["verify_keys"]
            .as_object()
            .and_then(|keys| keys.keys().next().cloned())
            .expect("a key");
        let signature = other["signatures"]["a.example"]
            .as_object()
            .and_then(|signatures| signatures.values().next().cloned())
            .expect("a signature");
        let changed = changed(&own, "/signatures/a.example", json!({ own_id: signature }));
        assert_eq!(
            KeyDocument::check(&changed, name).err(),
            Some(DocumentError::Signature)
        );
    }

    #[test]
    fn what_is_no_document_is_malformed() {
        for text in [
            "",
            "[]",
            "{}",
            "{\"server_name\":5}",
            &" ".repeat(LARGEST + 1),
        ] {
            let checked = KeyDocument::check(text, server_name!("a.example"));
            assert!(
                matches!(checked, Err(DocumentError::Malformed(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn key_ids_have_the_form_of_the_specification() {
        assert!(is_key_id("ed25519:a_x7Kp"));
        for id in [
            "",
            "ed25519:",
            "ed25519",
            "rsa:1",
            "ed25519:a b",
            "ed25519:a:b",
            "ed25519:a-b",
        ] {
            assert!(!is_key_id(id), "{id}");
        }
        assert!(!is_key_id(&format!("ed25519:{}", "a".repeat(255))));
    }
}
