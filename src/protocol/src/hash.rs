//! Hashes of events (server-server API, "Calculating the reference hash for an event", "Calculating the content hash for an
//! event"), taken from an event's canonical text without parsing it. The text that the reference hash covers is also the one
//! that is signed.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use ruma::room_version_rules::{EventIdFormatVersion, RoomVersionRules};
use sha2::{Digest as _, Sha256};

use crate::{
    canonical::push_object,
    redact::{RedactError, redact},
    scan::{self, ScanError},
};

/// What servers sign: the redacted event without its signatures. `json` is canonical.
pub fn signing_text(rules: &RoomVersionRules, json: &str) -> Result<String, RedactError> {
    let redacted = redact(json, &rules.redaction)?;
    without(&redacted, &["signatures"]).map_err(|_| RedactError::NotAnEvent)
}

/// What identifies an event whatever was redacted of it. `json` is canonical.
pub fn reference_hash(rules: &RoomVersionRules, json: &str) -> Result<[u8; 32], RedactError> {
    Ok(sha256(&signing_text(rules, json)?))
}

/// What `hashes.sha256` of an event must be, or it is incomplete. `json` is canonical.
pub fn content_hash(json: &str) -> Result<[u8; 32], ScanError> {
    let text = without(json, &["hashes", "signatures", "unsigned"])?;
    Ok(sha256(&text))
}

/// A hash as the events of room versions 1 and 2 name it.
pub fn encoded(hash: &[u8; 32]) -> String {
    STANDARD_NO_PAD.encode(hash)
}

/// A reference hash as the event id of its room version has it, without a sigil. `None` in versions 1 and 2, whose ids are
/// not hashes.
pub fn id_of_hash(rules: &RoomVersionRules, reference_hash: &[u8; 32]) -> Option<String> {
    match rules.event_id_format {
        EventIdFormatVersion::V2 => Some(STANDARD_NO_PAD.encode(reference_hash)),
        EventIdFormatVersion::V3 => Some(URL_SAFE_NO_PAD.encode(reference_hash)),
        _ => None,
    }
}

pub(crate) fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn without(json: &str, names: &[&str]) -> Result<String, ScanError> {
    let members = scan::members(json)?;
    let mut out = String::with_capacity(json.len());
    let kept = members.into_iter().filter(|(key, _)| !names.contains(key));
    push_object(&mut out, kept);
    Ok(out)
}
