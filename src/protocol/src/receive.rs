//! Checks on an event that another server sent (server-server API, "Checks performed on receipt of a PDU"), steps 1 to 3: its
//! format, its signatures, its content hash. Steps 4 to 6 are in [`authorize`](crate::authorize).
//!
//! The text of another server is parsed once, here. Afterwards the event exists only as canonical JSON that has the format of
//! its room version, which is what is stored. Time and memory are linear in the text; signature checks are bounded per server.

mod fields;
mod foreign;
mod signatures;

use std::fmt;

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedServerName, RoomId,
    ServerName, UserId, events::TimelineEventType, room_version_rules::RoomVersionRules,
    state_res::Event,
};

pub use self::{
    foreign::{AuthorizedJoin, ForeignError, ForeignInvite},
    signatures::SignatureError,
};
use crate::{
    authorize::AuthEvent,
    canonical::{self, JsonError, MAX_NESTING, Numbers, Repeats, Strictness},
    event::{Depth, MAX_EVENT_BYTES},
    hash, redact,
    scan::{self, ScanError},
};

/// The greatest size of the text of an event as it is sent: escapes and `unsigned` make it larger than its canonical form.
pub const MAX_TEXT_BYTES: usize = 8 * MAX_EVENT_BYTES;

/// Why a text is not an event of its room version. Such an event is dropped.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error(transparent)]
    Json(#[from] JsonError),
    #[error("event of {0} bytes is too large")]
    TooLarge(usize),
    #[error("`{0}` is missing or not valid in this room version")]
    Field(&'static str),
}

/// An event of another server whose format is valid. Cheap to clone but for its text.
#[derive(Clone)]
pub struct Pdu {
    rules: &'static RoomVersionRules,
    event: AuthEvent,
    room_id: OwnedRoomId,
    json: String,
    /// What is signed, and what the reference hash covers.
    signing_text: String,
    redacts: Option<OwnedEventId>,
    is_redacted: bool,
}

impl Pdu {
    /// Reads an event and checks its format. Before [`Pdu::verify`], nothing shows that the event is from its sender.
    pub fn read(rules: &'static RoomVersionRules, text: &str) -> Result<Self, FormatError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(FormatError::TooLarge(text.len()));
        }
        let strictness = Strictness {
            numbers: match rules.authorization.strict_canonical_json {
                true => Numbers::Strict,
                false => Numbers::Lenient,
            },
            repeats: Repeats::Refused,
            // The content is one level below.
            nesting: MAX_NESTING + 1,
        };
        let json = canonical::object(text, strictness, Some("unsigned"))?;
        if json.len() > MAX_EVENT_BYTES {
            return Err(FormatError::TooLarge(json.len()));
        }
        fields::check(rules, &json)?;
        Self::of_checked(rules, json)
    }

    /// The fields of `json` are valid.
    fn of_checked(rules: &'static RoomVersionRules, json: String) -> Result<Self, FormatError> {
        let signing_text =
            hash::signing_text(rules, &json).map_err(|_| FormatError::Field("content"))?;
        let hash = hash::id_of_hash(rules, &hash::sha256(&signing_text));
        let event_id = match &hash {
            Some(hash) => OwnedEventId::try_from(format!("${hash}")).ok(),
            None => scan::string_member(&json, "event_id")
                .and_then(|id| OwnedEventId::try_from(&*id).ok()),
        };
        let event_id = event_id.ok_or(FormatError::Field("event_id"))?;
        let event = AuthEvent::parse(event_id, &json).map_err(|error| match error {
            ScanError::Field(name) => FormatError::Field(name),
            ScanError::NotAnObject => FormatError::Json(JsonError::NotAnObject),
        })?;
        let room_id = match (event.room_id(), hash) {
            (Some(room_id), _) => room_id.to_owned(),
            (None, Some(hash)) => OwnedRoomId::try_from(format!("!{hash}"))
                .map_err(|_| FormatError::Field("room_id"))?,
            (None, None) => return Err(FormatError::Field("room_id")),
        };
        // Room versions 1 and 2 let servers choose ids, so only there an event can name itself.
        if event
            .prev_events()
            .chain(event.auth_events())
            .any(|id| id == event.id())
        {
            return Err(FormatError::Field("prev_events"));
        }
        let redacts = match event.kind() {
            TimelineEventType::RoomRedaction => scan::scan(&json)
                .ok()
                .and_then(|parts| parts.redacts_of(&json, &rules.redaction))
                .and_then(|id| OwnedEventId::try_from(&*id).ok()),
            _ => None,
        };
        Ok(Self {
            rules,
            event,
            room_id,
            json,
            signing_text,
            redacts,
            is_redacted: false,
        })
    }

    /// The servers whose signatures the event needs: that of its sender, in room versions 1 and 2 that of its id, and that of
    /// the user who authorized a restricted join. None signs the invite that follows a third-party invite: the
    /// authorization rules check the signature inside it.
    pub fn signers(&self) -> Vec<OwnedServerName> {
        signatures::signers(self)
    }

    /// Whom to ask for keys before [`Pdu::verify`]: the signers, with the ids of the keys by which they signed.
    pub fn key_ids(&self) -> Vec<(OwnedServerName, Vec<String>)> {
        signatures::key_ids(self)
    }

    /// Checks the signatures of all signers, then the content hash: an event whose hash does not match is redacted.
    ///
    /// `keys` returns the public key of a server with an id such as `ed25519:a_1`, if it was valid when the event was
    /// sent (room version 5, "Signing key validity period").
    pub fn verify(
        self,
        keys: impl Fn(&ServerName, &str) -> Option<[u8; 32]>,
    ) -> Result<Self, SignatureError> {
        let signers = self.signers();
        signatures::check(&self, &signers, &keys)?;
        if signatures::has_content_hash(&self.json) {
            return Ok(self);
        }
        let redacted = self.redacted()?;
        // The redaction may have removed the reason why a signature was not needed: a third-party invite with a wrong hash
        // becomes an ordinary invite, which its sender's server must have signed.
        let mut more = redacted.signers();
        more.retain(|server| !signers.contains(server));
        signatures::check(&redacted, &more, &keys)?;
        Ok(redacted)
    }

    fn redacted(&self) -> Result<Self, SignatureError> {
        let json = redact::redact(&self.json, &self.rules.redaction)
            .map_err(|_| SignatureError::NotRedactable)?;
        let redacted =
            Self::of_checked(self.rules, json).map_err(|_| SignatureError::NotRedactable)?;
        Ok(Self {
            is_redacted: true,
            ..redacted
        })
    }

    pub fn rules(&self) -> &'static RoomVersionRules {
        self.rules
    }

    pub fn event_id(&self) -> &EventId {
        self.event.id()
    }

    /// Set for the create event of a version 12 room too, although its text has none.
    pub fn room_id(&self) -> &RoomId {
        &self.room_id
    }

    pub fn sender(&self) -> &UserId {
        self.event.sender()
    }

    pub fn kind(&self) -> &TimelineEventType {
        self.event.kind()
    }

    pub fn state_key(&self) -> Option<&str> {
        self.event.state_key()
    }

    pub fn depth(&self) -> Depth {
        self.event.depth()
    }

    pub fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.event.origin_server_ts()
    }

    pub fn prev_events(&self) -> impl Iterator<Item = &OwnedEventId> {
        self.event.prev_events()
    }

    pub fn auth_events(&self) -> impl Iterator<Item = &OwnedEventId> {
        self.event.auth_events()
    }

    /// The target of a redaction, from where the room version has it; `None` for other events.
    pub fn redacts(&self) -> Option<&EventId> {
        self.redacts.as_deref()
    }

    /// The event in canonical JSON, without `unsigned`.
    pub fn json(&self) -> &str {
        &self.json
    }

    pub fn into_json(self) -> String {
        self.json
    }

    /// The event as the authorization rules read it.
    pub fn auth_event(&self) -> &AuthEvent {
        &self.event
    }

    /// Whether the content hash did not match, so that only the redacted event is left.
    pub fn is_redacted(&self) -> bool {
        self.is_redacted
    }
}

impl fmt::Debug for Pdu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Pdu")
            .field("event_id", &self.event.id())
            .field("is_redacted", &self.is_redacted)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
