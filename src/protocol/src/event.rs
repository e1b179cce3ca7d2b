//! From a draft to a signed event (server-server API, "PDUs", "Signing events"; the event format of each room version).
//!
//! A draft is written out as canonical JSON three times and never parsed: for the content hash, in its redacted form (which
//! is both what is signed and what the reference hash, and so the event id, is taken of), and whole.
//!
//! In room version 12 the create event has no `room_id` and the room is named after the event's hash. Nothing in a draft is
//! random: who creates rooms puts something unique into the content of the create event (redaction keeps all of it), or two
//! rooms of one user and one millisecond would be one.

use std::{borrow::Cow, sync::LazyLock};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId,
    ServerName, UserId, events::TimelineEventType, room_version_rules::RoomVersionRules,
    state_res::Event,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::{
    content::{Content, MAX_INTEGER, push_string},
    redact::redacted_content,
};

/// The greatest size of an event in canonical JSON, with hashes and signatures.
pub const MAX_EVENT_BYTES: usize = 65_536;
/// The greatest length of ids, types and state keys.
pub const MAX_FIELD_BYTES: usize = 255;
pub const MAX_PREVIOUS_EVENTS: usize = 20;
pub const MAX_AUTH_EVENTS: usize = 10;

/// How far an event is from the create event, along the longest path.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Depth(pub u64);

impl Depth {
    /// The depth of an event that follows these; bounded by what canonical JSON can say, so that a peer's absurd depth cannot
    /// make a room unusable.
    pub fn after(previous: impl IntoIterator<Item = Self>) -> Self {
        let deepest = previous.into_iter().max().map_or(0, |depth| depth.0);
        Self(deepest.saturating_add(1).min(MAX_INTEGER.unsigned_abs()))
    }
}

/// This server's key, as the events of its users need it.
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
    /// Placed where the room version has it: in `content` since version 11, beside it before.
    pub redacts: Option<OwnedEventId>,
}

/// An event as it is stored and sent to other servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPdu {
    pub event_id: OwnedEventId,
    /// Also for the create event of a version 12 room, which names its room by being hashed.
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
    /// The draft breaks the format of its room version: a mistake of this server, not of a client.
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
        let content_hash = STANDARD_NO_PAD.encode(Sha256::digest(text.as_bytes()));
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
        let reference_hash = URL_SAFE_NO_PAD.encode(Sha256::digest(text.as_bytes()));
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
        let event_id = OwnedEventId::try_from(format!("${reference_hash}"))
            .map_err(|_| DraftError::Malformed("event id"))?;
        let room_id = match &self.room_id {
            Some(room_id) => room_id.clone(),
            None => OwnedRoomId::try_from(format!("!{reference_hash}"))
                .map_err(|_| DraftError::Malformed("room id"))?,
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

    /// Canonical JSON: the members are in the order of their names.
    fn write(&self, out: &mut String, form: &Form<'_>) {
        use std::fmt::Write as _;
        out.push_str("{\"auth_events\":");
        push_ids(out, &self.auth_events);
        out.push_str(",\"content\":");
        out.push_str(form.content);
        write!(out, ",\"depth\":{}", self.depth.0).expect("writing to a string does not fail");
        if let Some(hash) = form.hash {
            out.push_str(",\"hashes\":{\"sha256\":\"");
            out.push_str(hash);
            out.push_str("\"}");
        }
        write!(out, ",\"origin_server_ts\":{}", self.origin_server_ts.0)
            .expect("writing to a string does not fail");
        out.push_str(",\"prev_events\":");
        push_ids(out, &self.prev_events);
        if let Some(redacts) = &self.redacts
            && !form.is_redacted
            && !self.rules.redaction.content_field_redacts
        {
            out.push_str(",\"redacts\":");
            push_string(out, redacts.as_str());
        }
        if let Some(room_id) = &self.room_id {
            out.push_str(",\"room_id\":");
            push_string(out, room_id.as_str());
        }
        out.push_str(",\"sender\":");
        push_string(out, self.sender.as_str());
        if let Some(signature) = form.signature {
            out.push_str(",\"signatures\":");
            out.push_str(signature);
        }
        if let Some(state_key) = &self.state_key {
            out.push_str(",\"state_key\":");
            push_string(out, state_key);
        }
        out.push_str(",\"type\":");
        push_string(out, form.kind);
        out.push('}');
    }
}

/// Which of an event's forms is written.
struct Form<'a> {
    kind: &'a str,
    content: &'a str,
    hash: Option<&'a str>,
    signature: Option<&'a str>,
    is_redacted: bool,
}

fn signature_member(signer: &impl Signer, signature: &str) -> String {
    let mut out = String::with_capacity(160);
    out.push('{');
    push_string(&mut out, signer.server_name().as_str());
    out.push_str(":{");
    push_string(&mut out, signer.key_id());
    out.push_str(":\"");
    out.push_str(signature);
    out.push_str("\"}}");
    out
}

fn push_ids(out: &mut String, ids: &[OwnedEventId]) {
    out.push('[');
    for (index, id) in ids.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_string(out, id.as_str());
    }
    out.push(']');
}

/// A draft can be authorized before it is signed: the rules of versions 6 to 12 never look at the event's own id.
static UNNAMED: LazyLock<OwnedEventId> =
    LazyLock::new(|| EventId::parse("$not-signed-yet").expect("an event id"));

impl Event for Draft {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &UNNAMED
    }

    fn room_id(&self) -> Option<&RoomId> {
        self.room_id.as_deref()
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.kind
    }

    fn content(&self) -> &RawValue {
        self.content.as_raw()
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        self.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests;
