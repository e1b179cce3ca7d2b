//! Signatures and content hash (server-server API, "Validating hashes and signatures on received events").

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use ed25519_dalek::{Signature, VerifyingKey};
use ruma::{OwnedServerName, ServerName, UserId, events::TimelineEventType};

use super::Pdu;
use crate::{hash, scan};

/// Most signatures of one server that are checked; the rest is ignored, so that an event cannot be made expensive.
const MAX_SIGNATURES: usize = 16;

/// Unpadded base64, but tolerant of padding like other servers.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why an event may not be from those who should have signed it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Keys that must be fetched before the signatures can be checked. All other signatures are valid.
    #[error("keys of {} servers are missing", .0.len())]
    MissingKeys(Vec<(OwnedServerName, Vec<String>)>),
    #[error("event is not signed by {0}")]
    Unsigned(OwnedServerName),
    #[error("signature of {server} with key {key_id} is wrong")]
    Wrong {
        server: OwnedServerName,
        key_id: String,
    },
    /// The content hash does not match, and what a redaction would leave is not an event.
    #[error("event has a wrong content hash and cannot be redacted")]
    NotRedactable,
}

pub(super) fn signers(pdu: &Pdu) -> Vec<OwnedServerName> {
    let mut signers = Vec::new();
    let mut add = |server: &ServerName| {
        if !signers
            .iter()
            .any(|known: &OwnedServerName| known == server)
        {
            signers.push(server.to_owned());
        }
    };
    if !is_third_party_invite(pdu) {
        add(pdu.sender().server_name());
    }
    let rules = &pdu.rules.signatures;
    if rules.check_event_id_server
        && let Some(server) = pdu.event_id().server_name()
    {
        add(server);
    }
    if rules.check_join_authorised_via_users_server
        && *pdu.kind() == TimelineEventType::RoomMember
        && let Some(user) =
            scan::string_member(pdu.event.content(), "join_authorised_via_users_server")
        && let Ok(user) = <&UserId>::try_from(&*user)
    {
        add(user.server_name());
    }
    signers
}

fn is_third_party_invite(pdu: &Pdu) -> bool {
    let content = pdu.event.content();
    *pdu.kind() == TimelineEventType::RoomMember
        && scan::string_member(content, "membership").is_some_and(|word| word == "invite")
        && scan::member(content, "third_party_invite").is_some_and(|value| value.starts_with('{'))
}

pub(super) fn key_ids(pdu: &Pdu) -> Vec<(OwnedServerName, Vec<String>)> {
    let all = scan::member(&pdu.json, "signatures").unwrap_or_default();
    signers(pdu)
        .into_iter()
        .map(|server| {
            let ids = signatures_of(all, &server).map(|(id, _)| id.to_owned());
            let ids = ids.collect();
            (server, ids)
        })
        .collect()
}

/// Checks that each server signed the event, and that none of its signatures with a known key is wrong.
pub(super) fn check(
    pdu: &Pdu,
    servers: &[OwnedServerName],
    keys: &impl Fn(&ServerName, &str) -> Option<[u8; 32]>,
) -> Result<(), SignatureError> {
    let all = scan::member(&pdu.json, "signatures").unwrap_or_default();
    let mut missing = Vec::new();
    for server in servers {
        let mut unknown = Vec::new();
        let mut is_signed = false;
        for (key_id, signature) in signatures_of(all, server) {
            match keys(server, key_id) {
                None => unknown.push(key_id.to_owned()),
                Some(key) if is_valid(&key, signature, &pdu.signing_text) => is_signed = true,
                Some(_) => {
                    return Err(SignatureError::Wrong {
                        server: server.clone(),
                        key_id: key_id.to_owned(),
                    });
                }
            }
        }
        match (is_signed, unknown.is_empty()) {
            (true, _) => {}
            (false, false) => missing.push((server.clone(), unknown)),
            (false, true) => return Err(SignatureError::Unsigned(server.clone())),
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(SignatureError::MissingKeys(missing)),
    }
}

/// The signatures of one server by algorithms that are known, with the ids of their keys.
fn signatures_of<'a>(
    all: &'a str,
    server: &ServerName,
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let own = scan::member(all, server.as_str()).unwrap_or_default();
    let own = scan::members(own).unwrap_or_default();
    own.into_iter()
        .filter(|(id, _)| id.starts_with("ed25519:") && !id.contains('\\'))
        .take(MAX_SIGNATURES)
}

fn is_valid(key: &[u8; 32], signature: &str, text: &str) -> bool {
    let signature = scan::text(signature).and_then(|text| BASE64.decode(&*text).ok());
    let signature = signature.and_then(|bytes| Signature::from_slice(&bytes).ok());
    match (VerifyingKey::from_bytes(key), signature) {
        (Ok(key), Some(signature)) => key.verify_strict(text.as_bytes(), &signature).is_ok(),
        _ => false,
    }
}

/// Whether `hashes.sha256` of an event is the hash of its content.
pub(super) fn has_content_hash(json: &str) -> bool {
    let named =
        scan::member(json, "hashes").and_then(|hashes| scan::string_member(hashes, "sha256"));
    let named = named.and_then(|text| BASE64.decode(&*text).ok());
    let hash = hash::content_hash(json);
    matches!((named, hash), (Some(named), Ok(hash)) if named == hash)
}
