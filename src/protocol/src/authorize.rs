//! The authorization rules of each room version (rooms/v6 to v12, "Authorization rules"), as `ruma-state-res` has them: here
//! are the types that its checks take, and their names.
//!
//! ruma logs each allowed event at level `info` under the targets `ruma_state_res`: servers filter them.

use std::{borrow::Cow, fmt, sync::Arc};

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::{AuthorizationRules, RoomVersionRules},
    state_res::{
        Event, auth_types_for_event, check_state_dependent_auth_rules,
        check_state_independent_auth_rules,
    },
};
use serde_json::value::RawValue;

use crate::scan::{self, ScanError};

/// Why an event is not allowed, in words for people: they quote nothing that the sender may not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AuthError(pub String);

/// A stored event in the form that the rules read. Cheap to clone; made once for the few events of a room that authorize.
#[derive(Clone)]
pub struct AuthEvent(Arc<Parsed>);

#[derive(Clone)]
struct Parsed {
    event_id: OwnedEventId,
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    origin_server_ts: MilliSecondsSinceUnixEpoch,
    kind: TimelineEventType,
    state_key: Option<String>,
    content: Box<RawValue>,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    redacts: Option<OwnedEventId>,
    is_rejected: bool,
}

impl AuthEvent {
    /// Reads an accepted event from the text in which it is stored.
    pub fn parse(event_id: OwnedEventId, json: &str) -> Result<Self, ScanError> {
        let parts = scan::scan(json)?;
        let id =
            |text: &str, name| OwnedEventId::try_from(text).map_err(|_| ScanError::Field(name));
        let room_id = parts.room_id(json).map(|id| OwnedRoomId::try_from(&*id));
        let redacts = parts
            .redacts
            .map(|_| parts.redacts(json).unwrap_or_default());
        Ok(Self(Arc::new(Parsed {
            event_id,
            room_id: room_id
                .transpose()
                .map_err(|_| ScanError::Field("room_id"))?,
            sender: OwnedUserId::try_from(&*parts.sender(json))
                .map_err(|_| ScanError::Field("sender"))?,
            origin_server_ts: parts
                .origin_server_ts(json)
                .ok_or(ScanError::Field("origin_server_ts"))?,
            kind: TimelineEventType::from(&*parts.kind(json)),
            state_key: parts.state_key(json).map(Cow::into_owned),
            content: RawValue::from_string(parts.content(json).to_owned())
                .map_err(|_| ScanError::Field("content"))?,
            prev_events: parts
                .previous_events(json)
                .ok_or(ScanError::Field("prev_events"))?,
            auth_events: parts
                .auth_events(json)
                .ok_or(ScanError::Field("auth_events"))?,
            redacts: redacts.map(|text| id(&text, "redacts")).transpose()?,
            is_rejected: false,
        })))
    }

    /// The same event, known to be rejected: it authorizes nothing.
    #[must_use]
    pub fn rejected(self) -> Self {
        let mut parsed = Arc::unwrap_or_clone(self.0);
        parsed.is_rejected = true;
        Self(Arc::new(parsed))
    }

    pub fn id(&self) -> &EventId {
        &self.0.event_id
    }

    pub fn sender(&self) -> &UserId {
        &self.0.sender
    }

    pub fn kind(&self) -> &TimelineEventType {
        &self.0.kind
    }

    pub fn state_key(&self) -> Option<&str> {
        self.0.state_key.as_deref()
    }

    /// The text of the content, in canonical JSON.
    pub fn content(&self) -> &str {
        self.0.content.get()
    }
}

/// What of the state a room must know to authorize the event; also what the event names as its auth events.
pub fn auth_types(
    rules: &RoomVersionRules,
    event: &impl Event,
) -> Result<Vec<(StateEventType, String)>, AuthError> {
    auth_types_for_event(
        event.event_type(),
        event.sender(),
        event.state_key(),
        event.content(),
        &rules.authorization,
    )
    .map_err(AuthError)
}

/// Checks an event against a state: that of its auth events, that before it, or the current one. `lookup` answers for the
/// create event and for [`auth_types`]; asked for more, it may say `None`.
pub fn authorize(
    rules: &RoomVersionRules,
    event: &impl Event,
    lookup: impl Fn(&StateEventType, &str) -> Option<AuthEvent>,
) -> Result<(), AuthError> {
    let rules = &rules.authorization;
    if *event.event_type() == TimelineEventType::RoomCreate {
        return check_create(rules, event);
    }
    check_state_dependent_auth_rules(rules, event, lookup).map_err(AuthError)
}

/// Checks that an event names as auth events what it should, and nothing that was rejected. Needed once for an event of
/// another server; what this server selects by [`auth_types`] passes.
pub fn check_auth_events(
    rules: &RoomVersionRules,
    event: &impl Event,
    fetch: impl Fn(&EventId) -> Option<AuthEvent>,
) -> Result<(), AuthError> {
    check_state_independent_auth_rules(&rules.authorization, event, fetch).map_err(AuthError)
}

fn check_create(rules: &AuthorizationRules, event: &impl Event) -> Result<(), AuthError> {
    check_state_independent_auth_rules(rules, event, |_| None::<AuthEvent>).map_err(AuthError)
}

impl fmt::Debug for AuthEvent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("AuthEvent")
            .field(&self.0.event_id)
            .finish()
    }
}

impl Event for AuthEvent {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.0.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        self.0.room_id.as_deref()
    }

    fn sender(&self) -> &UserId {
        &self.0.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.0.origin_server_ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.0.kind
    }

    fn content(&self) -> &RawValue {
        &self.0.content
    }

    fn state_key(&self) -> Option<&str> {
        self.0.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.0.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.0.auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        self.0.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.0.is_rejected
    }
}

#[cfg(test)]
mod tests;
