//! The key document of this server, as others fetch it, and the signature that a notary adds to the
//! documents of others.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use database::Millis;
use protocol::{content::Content, event::Signer};
use serde_json::{Map, Value, json};

use super::{
    KeyDocument,
    own::{ReplacedKey, SigningKeyInUse},
};

/// How long others may use a document before they fetch it again.
const LIFETIME: Duration = Duration::from_hours(24);
/// How long the same document is served.
const SERVED: Duration = Duration::from_hours(1);

/// A document with its signature.
pub(super) struct Published {
    pub(super) json: Arc<str>,
    made: Millis,
}

impl Published {
    pub(super) fn make(key: &SigningKeyInUse, replaced: &[ReplacedKey], now: Millis) -> Self {
        let old: Map<String, Value> = replaced
            .iter()
            .map(|old| {
                let value = json!({ "key": encode(&old.public), "expired_ts": old.expired.0 });
                (old.id.clone(), value)
            })
            .collect();
        let mut document = Map::new();
        document.insert("server_name".to_owned(), key.server_name().as_str().into());
        document.insert("valid_until_ts".to_owned(), now.plus(LIFETIME).0.into());
        document.insert("old_verify_keys".to_owned(), old.into());
        let current = json!({ key.key_id(): { "key": encode(&key.public()) } });
        document.insert("verify_keys".to_owned(), current);
        Self {
            json: with_signature(document, key).into(),
            made: now,
        }
    }

    /// A clock that was set back makes it stale, too.
    pub(super) fn is_fresh(&self, now: Millis) -> bool {
        self.made <= now && now.since(self.made) < SERVED
    }
}

impl SigningKeyInUse {
    /// The document of another server with this server's signature beside that server's own: what a notary
    /// returns. One of the three functions that sign what others made.
    pub(crate) fn sign_as_notary(&self, document: &KeyDocument) -> String {
        with_signature(document.object().clone(), self)
    }
}

/// Signs the object without `signatures` and `unsigned`, and adds the signature to those it has.
fn with_signature(mut object: Map<String, Value>, key: &SigningKeyInUse) -> String {
    let message = signed_part(&object);
    let signature = encode(&key.sign(message.as_bytes()));
    let signatures = object.entry("signatures").or_insert_with(|| json!({}));
    if let Value::Object(signatures) = signatures {
        let own = json!({ key.key_id(): signature });
        signatures.insert(key.server_name().as_str().to_owned(), own);
    }
    canonical(&object)
}

/// What a signature of an object covers.
pub(super) fn signed_part(object: &Map<String, Value>) -> String {
    let mut object = object.clone();
    object.remove("signatures");
    object.remove("unsigned");
    canonical(&object)
}

fn canonical(object: &Map<String, Value>) -> String {
    let content =
        Content::of(object).expect("it was canonical JSON before, or is made of our own values");
    content.as_str().to_owned()
}

fn encode(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}
