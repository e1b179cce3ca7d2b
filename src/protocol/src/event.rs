//! From a draft to a signed event (server-server API, "PDUs", "Signing events"; the event format of each room version).
//!
//! A draft is written as canonical JSON three times and never parsed: for the content hash, in its redacted form (which is
//! signed, and whose hash is the reference hash and, since room version 3, the event id), and whole.
//!
//! In room version 12 the create event has no `room_id`; the room id is the hash of that event. Drafts contain nothing
//! random, so the creator of a room must put something unique into the content of its create event (redaction keeps all of
//! it): otherwise two rooms that one user creates in the same millisecond would be the same room.

mod authorize;
mod write;

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, ServerName,
    events::TimelineEventType,
    room_version_rules::{EventIdFormatVersion, RoomVersionRules},
};
use serde::{Deserialize, Serialize};

use self::write::{Form, signature_member};
use crate::{
    canonical::MAX_INTEGER,
    content::Content,
    hash::{id_of_hash, sha256},
    redact::redacted_content,
};

/// The greatest size of an event in canonical JSON, with hashes and signatures.
pub const MAX_EVENT_BYTES: usize = 65_536;
/// The greatest length of ids, types and state keys.
pub const MAX_FIELD_BYTES: usize = 255;
pub const MAX_PREVIOUS_EVENTS: usize = 20;
pub const MAX_AUTH_EVENTS: usize = 10;

/// The distance of an event from the create event, along the longest path.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Depth(pub u64);

impl Depth {
    /// The greatest depth of a room version: 2^53 - 1 since room version 6, 2^63 - 1 before.
    pub fn greatest(rules: &RoomVersionRules) -> Self {
        let greatest = if rules.authorization.strict_canonical_json {
            MAX_INTEGER
        } else {
            i64::MAX
        };
        Self(greatest.unsigned_abs())
    }

    /// The depth of an event that follows these. It never exceeds the limit of the room version, so that an absurd depth of
    /// another server cannot make a room unusable: only room versions 1 to 5 have events beyond 2^53 - 1.
    pub fn after(previous: impl IntoIterator<Item = Self>) -> Self {
        let deepest = previous.into_iter().max().map_or(0, |depth| depth.0);
        let limit = if deepest > MAX_INTEGER.unsigned_abs() {
            i64::MAX
        } else {
            MAX_INTEGER
        };
        Self(deepest.saturating_add(1).min(limit.unsigned_abs()))
    }
}

/// The key with which this server signs the events of its users.
pub trait Signer {
    fn server_name(&self) -> &ServerName;
    /// Such as `ed25519:a_1x3F`.
    fn key_id(&self) -> &str;
    fn sign(&self, message: &[u8]) -> [u8; 64];
}

/// An event that this server is about to send.
#[derive(Clone, Debug)]
pub struct Draft {
    pub rules: &'static RoomVersionRules,
    /// `None` for the create event of a version 12 room, and only there.
    pub room_id: Option<OwnedRoomId>,
    pub sender: OwnedUserId,
    pub kind: TimelineEventType,
    pub state_key: Option<String>,
    pub content: Content,
    pub auth_events: Vec<OwnedEventId>,
    pub prev_events: Vec<OwnedEventId>,
    pub depth: Depth,
    pub origin_server_ts: MilliSecondsSinceUnixEpoch,
    /// Written where the room version has it: in `content` since version 11, beside it before.
    pub redacts: Option<OwnedEventId>,
    /// Required in room versions 1 and 2, `None` in all others.
    pub old_format: Option<Box<OldFormat>>,
}

/// What only events of room versions 1 and 2 contain.
#[derive(Clone, Debug)]
pub struct OldFormat {
    /// `$`, an opaque id that is unique on this server, `:` and the name of this server.
    pub event_id: OwnedEventId,
    /// [`reference_hash`](crate::hash::reference_hash) of each of the draft's auth events, in their order.
    pub auth_hashes: Vec<[u8; 32]>,
    /// The same for its previous events.
    pub prev_hashes: Vec<[u8; 32]>,
}

/// An event as it is stored and sent to other servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPdu {
    pub event_id: OwnedEventId,
    /// Set for the create event of a version 12 room too, although its text has none.
    pub room_id: OwnedRoomId,
    /// Canonical JSON.
    pub json: String,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    #[error("event of {0} bytes is larger than {MAX_EVENT_BYTES} bytes")]
    TooLarge(usize),
    #[error("`{0}` is longer than {MAX_FIELD_BYTES} bytes")]
    TooLong(&'static str),
    /// The draft breaks the format of its room version: a bug of this server, not a mistake of a client.
    #[error("event is malformed: {0}")]
    Malformed(&'static str),
}

impl Draft {
    /// Hashes and signs the event. Only events of the signer's own users are signed.
    pub fn sign(&self, signer: &impl Signer) -> Result<SignedPdu, DraftError> {
        let kind = self.kind.to_string();
        self.check(signer, &kind)?;
        let content = self.placed_content();
        let redacted = redacted_content(&kind, &content, &self.rules.redaction);

        let mut text = String::with_capacity(content.len() + 1024);
        self.write(
            &mut text,
            &Form {
                kind: &kind,
                content: &content,
                hash: None,
                signature: None,
                is_redacted: false,
            },
        );
        let content_hash = STANDARD_NO_PAD.encode(sha256(&text));
        let hash = Some(content_hash.as_str());

        text.clear();
        self.write(
            &mut text,
            &Form {
                kind: &kind,
                content: &redacted,
                hash,
                signature: None,
                is_redacted: true,
            },
        );
        let reference_hash = id_of_hash(self.rules, &sha256(&text));
        let signature = signature_member(
            signer,
            &STANDARD_NO_PAD.encode(signer.sign(text.as_bytes())),
        );

        text.clear();
        let form = Form {
            kind: &kind,
            content: &content,
            hash,
            signature: Some(&signature),
            is_redacted: false,
        };
        self.write(&mut text, &form);
        if text.len() > MAX_EVENT_BYTES {
            return Err(DraftError::TooLarge(text.len()));
        }
        let event_id = match (&self.old_format, &reference_hash) {
            (Some(old), _) => old.event_id.clone(),
            (None, Some(hash)) => OwnedEventId::try_from(format!("${hash}"))
                .map_err(|_| DraftError::Malformed("event id"))?,
            (None, None) => return Err(DraftError::Malformed("no event id")),
        };
        let room_id = match (&self.room_id, &reference_hash) {
            (Some(room_id), _) => room_id.clone(),
            (None, Some(hash)) => OwnedRoomId::try_from(format!("!{hash}"))
                .map_err(|_| DraftError::Malformed("room id"))?,
            (None, None) => return Err(DraftError::Malformed("no room id")),
        };
        Ok(SignedPdu {
            event_id,
            room_id,
            json: text,
        })
    }

    fn check(&self, signer: &impl Signer, kind: &str) -> Result<(), DraftError> {
        let names_itself =
            self.is_create() && self.rules.authorization.room_create_event_id_as_room_id;
        if self.sender.server_name() != signer.server_name() {
            return Err(DraftError::Malformed("sender is of another server"));
        }
        if names_itself != self.room_id.is_none() {
            return Err(DraftError::Malformed("room_id"));
        }
        if self.depth > Depth::greatest(self.rules) {
            return Err(DraftError::Malformed("depth"));
        }
        self.check_old_format(signer)?;
        if self.prev_events.len() > MAX_PREVIOUS_EVENTS {
            return Err(DraftError::Malformed("too many previous events"));
        }
        if self.auth_events.len() > MAX_AUTH_EVENTS {
            return Err(DraftError::Malformed("too many auth events"));
        }
        if !self.rules.event_format.allow_room_create_in_auth_events
            && let Some(room_id) = &self.room_id
            && self
                .auth_events
                .iter()
                .any(|id| id.as_str().get(1..) == room_id.as_str().get(1..))
        {
            return Err(DraftError::Malformed("create event among the auth events"));
        }
        let lengths = [
            ("type", kind.len()),
            ("sender", self.sender.as_str().len()),
            ("state_key", self.state_key.as_deref().map_or(0, str::len)),
            (
                "room_id",
                self.room_id.as_ref().map_or(0, |id| id.as_str().len()),
            ),
        ];
        match lengths
            .into_iter()
            .find(|(_, length)| *length > MAX_FIELD_BYTES)
        {
            Some((name, _)) => Err(DraftError::TooLong(name)),
            None => Ok(()),
        }
    }

    fn check_old_format(&self, signer: &impl Signer) -> Result<(), DraftError> {
        let is_old = self.rules.event_id_format == EventIdFormatVersion::V1;
        let Some(old) = &self.old_format else {
            return match is_old {
                true => Err(DraftError::Malformed("no event id")),
                false => Ok(()),
            };
        };
        let is_valid = is_old
            && old.event_id.server_name() == Some(signer.server_name())
            && old.event_id.as_str().len() <= MAX_FIELD_BYTES
            && old.auth_hashes.len() == self.auth_events.len()
            && old.prev_hashes.len() == self.prev_events.len();
        match is_valid {
            true => Ok(()),
            false => Err(DraftError::Malformed("format of room versions 1 and 2")),
        }
    }

    fn is_create(&self) -> bool {
        self.kind == TimelineEventType::RoomCreate
    }

    fn placed_content(&self) -> Cow<'_, str> {
        match &self.redacts {
            Some(redacts) if self.rules.redaction.content_field_redacts => {
                let content = self.content.with_string("redacts", redacts.as_str());
                Cow::Owned(content.as_str().to_owned())
            }
            _ => Cow::Borrowed(self.content.as_str()),
        }
    }
}

#[cfg(test)]
mod tests;
