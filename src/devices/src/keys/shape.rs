//! Validates the format of key objects before they are stored ("Key algorithms").
//!
//! Whether the bytes lie on their curve, and whether a device has signed its own keys, is the
//! business of those who use the keys.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ruma::{CanonicalJsonObject, CanonicalJsonValue, UserId};

use super::error::KeyError;

pub const ED25519: &str = "ed25519";
pub const CURVE25519: &str = "curve25519";
pub const SIGNED_CURVE25519: &str = "signed_curve25519";

/// The longest name of an algorithm or key.
const LONGEST_NAME: usize = 255;

/// A JSON object that is, or can be, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedObject {
    /// Canonical JSON of all but `signatures` and `unsigned`.
    pub(crate) signed: String,
    /// By user, then by the id of the signing key.
    pub(crate) signatures: BTreeMap<String, BTreeMap<String, String>>,
}

/// The identity keys of one device, in good shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKeys {
    pub(crate) object: SignedObject,
    pub(crate) ed25519: String,
}

/// A cross-signing key in good shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrossSigningKey {
    pub(crate) object: SignedObject,
    pub(crate) public_key: String,
}

/// What a cross-signing key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Master = 0,
    SelfSigning = 1,
    UserSigning = 2,
}

impl Usage {
    fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::SelfSigning => "self_signing",
            Self::UserSigning => "user_signing",
        }
    }
}

/// A one-time or fallback key in good shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneTimeKey {
    /// `<algorithm>:<id>`.
    pub(crate) id: String,
    /// Canonical JSON.
    pub(crate) json: String,
}

impl SignedObject {
    pub fn parse(json: &str) -> Result<Self, KeyError> {
        Self::split(object(json)?).map(|(object, _)| object)
    }

    fn split(mut fields: CanonicalJsonObject) -> Result<(Self, CanonicalJsonObject), KeyError> {
        let signatures = match fields.remove("signatures") {
            Some(signatures) => read_signatures(signatures)?,
            None => BTreeMap::new(),
        };
        fields.remove("unsigned");
        let signed = text(&fields);
        Ok((Self { signed, signatures }, fields))
    }

    /// Bytes with all signatures, for the limit of a key's size.
    pub(crate) fn bytes(&self) -> usize {
        let signatures = self.signatures.iter().map(|(user, signatures)| {
            let signatures = signatures.iter().map(|(key, text)| key.len() + text.len());
            user.len() + signatures.sum::<usize>()
        });
        self.signed.len() + signatures.sum::<usize>()
    }

    /// The signatures of one user, by the id of the signing key.
    pub(crate) fn signatures_of(&self, user_id: &str) -> BTreeMap<String, String> {
        self.signatures.get(user_id).cloned().unwrap_or_default()
    }
}

impl DeviceKeys {
    /// The keys of this device of this user, with all fields that are required.
    pub fn parse(json: &str, user_id: &UserId, device: &str) -> Result<Self, KeyError> {
        let fields = object(json)?;
        if !fields.contains_key("signatures") {
            return Err(missing("signatures"));
        }
        let (object, fields) = SignedObject::split(fields)?;
        let has_owner = string(&fields, "user_id")? == user_id.as_str();
        let is_device = string(&fields, "device_id")? == device;
        let Some(CanonicalJsonValue::Array(algorithms)) = fields.get("algorithms") else {
            return Err(missing("algorithms"));
        };
        if !algorithms
            .iter()
            .all(|name| matches!(name, CanonicalJsonValue::String(_)))
        {
            return Err(KeyError::shape("algorithms must be strings"));
        }
        let keys = names(&fields, "keys")?;
        if !has_owner || !is_device {
            return Err(KeyError::WrongOwner);
        }
        for (id, key) in &keys {
            let (algorithm, of) = split_id(id)?;
            if of != device {
                return Err(KeyError::WrongOwner);
            }
            if matches!(algorithm, ED25519 | CURVE25519) {
                check_key(key)?;
            }
        }
        let ed25519 = keys.get(&format!("{ED25519}:{device}"));
        let ed25519 = ed25519.ok_or_else(|| missing("keys.ed25519"))?.clone();
        Ok(Self { object, ed25519 })
    }
}

impl CrossSigningKey {
    /// A key of this user for this use: exactly one Ed25519 key, named by itself.
    pub fn parse(json: &str, user_id: &UserId, usage: Usage) -> Result<Self, KeyError> {
        let (object, fields) = SignedObject::split(object(json)?)?;
        let has_owner = string(&fields, "user_id")? == user_id.as_str();
        let Some(CanonicalJsonValue::Array(usages)) = fields.get("usage") else {
            return Err(missing("usage"));
        };
        let is_named = |name: &CanonicalJsonValue| name.as_str() == Some(usage.name());
        if !usages.iter().any(is_named) {
            return Err(KeyError::Shape(format!("usage must be {}", usage.name())));
        }
        let keys = names(&fields, "keys")?;
        if !has_owner {
            return Err(KeyError::WrongOwner);
        }
        let (Some((id, public_key)), 1) = (keys.first_key_value(), keys.len()) else {
            return Err(KeyError::shape("a cross-signing key has exactly one key"));
        };
        if split_id(id)? != (ED25519, public_key) {
            return Err(KeyError::shape(
                "a cross-signing key is named ed25519:<public key>",
            ));
        }
        check_key(public_key)?;
        let public_key = public_key.clone();
        Ok(Self { object, public_key })
    }

    /// In unpadded Base64.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }
}

impl OneTimeKey {
    pub fn parse(id: &str, json: &str) -> Result<Self, KeyError> {
        let (algorithm, _) = split_id(id)?;
        let value: CanonicalJsonValue = serde_json::from_str(json)
            .map_err(|_| KeyError::shape("a key is not canonical JSON"))?;
        match (algorithm, &value) {
            (SIGNED_CURVE25519, CanonicalJsonValue::Object(fields)) => {
                check_key(string(fields, "key")?)?;
                let signatures = fields
                    .get("signatures")
                    .ok_or_else(|| missing("signatures"))?;
                read_signatures(signatures.clone())?;
                let fallback = fields.get("fallback");
                if !matches!(fallback, None | Some(CanonicalJsonValue::Bool(_))) {
                    return Err(KeyError::shape("fallback must be a boolean"));
                }
            }
            (CURVE25519 | ED25519, CanonicalJsonValue::String(key)) => check_key(key)?,
            (SIGNED_CURVE25519, _) => return Err(KeyError::shape("a signed key is an object")),
            (CURVE25519 | ED25519, _) => return Err(KeyError::shape("the key must be a string")),
            // Future algorithms are unknown, but their keys have one of these forms.
            (_, CanonicalJsonValue::Object(_) | CanonicalJsonValue::String(_)) => {}
            _ => return Err(KeyError::shape("a key is an object or a string")),
        }
        Ok(Self {
            id: id.to_owned(),
            json: text(&value),
        })
    }

    pub fn algorithm(&self) -> &str {
        self.id
            .split_once(':')
            .map_or("", |(algorithm, _)| algorithm)
    }
}

/// The 32 bytes of a key in unpadded Base64.
pub(crate) fn key_bytes(key: &str) -> Option<[u8; 32]> {
    STANDARD_NO_PAD.decode(key).ok()?.try_into().ok()
}

fn check_key(key: &str) -> Result<(), KeyError> {
    match key_bytes(key) {
        Some(_) => Ok(()),
        None => Err(KeyError::shape("a key is 32 bytes in unpadded Base64")),
    }
}

fn object(json: &str) -> Result<CanonicalJsonObject, KeyError> {
    serde_json::from_str(json).map_err(|_| KeyError::shape("keys are not a canonical JSON object"))
}

fn text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("canonical JSON always serializes")
}

fn missing(field: &str) -> KeyError {
    KeyError::Shape(format!("{field} is missing or of the wrong type"))
}

fn string<'a>(fields: &'a CanonicalJsonObject, field: &str) -> Result<&'a str, KeyError> {
    fields
        .get(field)
        .and_then(|value| value.as_str())
        .ok_or_else(|| missing(field))
}

fn names(fields: &CanonicalJsonObject, field: &str) -> Result<BTreeMap<String, String>, KeyError> {
    match fields.get(field) {
        Some(CanonicalJsonValue::Object(map)) => string_map(map.clone(), field),
        _ => Err(missing(field)),
    }
}

fn string_map(map: CanonicalJsonObject, field: &str) -> Result<BTreeMap<String, String>, KeyError> {
    let pairs = map.into_iter().map(|(name, value)| match value {
        CanonicalJsonValue::String(value) => Ok((name, value)),
        _ => Err(missing(field)),
    });
    pairs.collect()
}

fn read_signatures(
    value: CanonicalJsonValue,
) -> Result<BTreeMap<String, BTreeMap<String, String>>, KeyError> {
    let CanonicalJsonValue::Object(users) = value else {
        return Err(missing("signatures"));
    };
    let users = users.into_iter().map(|(user, by_key)| match by_key {
        CanonicalJsonValue::Object(by_key) => Ok((user, string_map(by_key, "signatures")?)),
        _ => Err(missing("signatures")),
    });
    users.collect()
}

/// Algorithm and name of a key id.
fn split_id(id: &str) -> Result<(&str, &str), KeyError> {
    match id.split_once(':') {
        Some((algorithm, name))
            if !algorithm.is_empty() && !name.is_empty() && id.len() <= LONGEST_NAME =>
        {
            Ok((algorithm, name))
        }
        _ => Err(KeyError::shape("a key id is <algorithm>:<name>")),
    }
}
