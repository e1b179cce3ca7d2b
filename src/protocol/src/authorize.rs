//! The authorization rules of each room version (rooms/v1 to v12, "Authorization rules"). `ruma-state-res` checks them; this
//! module has the types that its checks take.
//!
//! An event of another server is checked by [`check_auth_events`] once, and by [`authorize`] against three states: that of its
//! auth events ([`auth_state`]), that before the event, and the current one.
//!
//! Where ruma is stricter than room versions 1 to 5, whose JSON may contain any number, [`levels`] translates. ruma logs each
//! allowed event at level `info` under the targets `ruma_state_res`: servers filter them.

mod levels;

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId,
    RoomVersionId, UserId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::{AuthorizationRules, RoomVersionRules},
    state_res::{
        Event, auth_types_for_event, check_state_dependent_auth_rules,
        check_state_independent_auth_rules,
    },
};
use serde_json::value::RawValue;

use crate::{
    event::Depth,
    room_version,
    scan::{self, ScanError},
};

/// Why an event is not allowed. The text is for people and quotes nothing that the sender may not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AuthError(pub String);

/// A stored event in the form that the rules read. Cheap to clone; built once for the few events of a room that authorize.
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
    depth: Depth,
    content: Box<RawValue>,
    /// The content as the rules read it, where it differs.
    translated: Option<Box<RawValue>>,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    redacts: Option<OwnedEventId>,
    is_rejected: bool,
}

impl AuthEvent {
    /// Reads an accepted event of any format from the text in which it is stored.
    pub fn parse(event_id: OwnedEventId, json: &str) -> Result<Self, ScanError> {
        let parts = scan::scan(json)?;
        let room_id = parts.room_id(json).map(|id| OwnedRoomId::try_from(&*id));
        let kind = TimelineEventType::from(&*parts.kind(json));
        let redacts = parts.redacts.and_then(|span| scan::text(span.of(json)));
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
            translated: match kind {
                TimelineEventType::RoomPowerLevels => levels::translate(parts.content(json)),
                _ => None,
            },
            kind,
            state_key: parts.state_key(json).map(Cow::into_owned),
            depth: Depth(parts.depth(json).ok_or(ScanError::Field("depth"))?),
            content: RawValue::from_string(parts.content(json).to_owned())
                .map_err(|_| ScanError::Field("content"))?,
            prev_events: parts
                .previous_events(json)
                .ok_or(ScanError::Field("prev_events"))?,
            auth_events: parts
                .auth_events(json)
                .ok_or(ScanError::Field("auth_events"))?,
            redacts: redacts.and_then(|text| OwnedEventId::try_from(&*text).ok()),
            is_rejected: false,
        })))
    }

    /// The same event, marked as rejected: it authorizes nothing.
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

    /// The place of a state event in the state.
    pub fn state_pair(&self) -> Option<(StateEventType, String)> {
        let state_key = self.0.state_key.clone()?;
        Some((self.0.kind.to_string().into(), state_key))
    }

    pub fn is_rejected(&self) -> bool {
        self.0.is_rejected
    }

    fn is_create(&self) -> bool {
        self.0.kind == TimelineEventType::RoomCreate && self.state_key() == Some("")
    }

    pub fn depth(&self) -> Depth {
        self.0.depth
    }

    /// The text of the content, in canonical JSON.
    pub fn content(&self) -> &str {
        self.0.content.get()
    }
}

/// The keys of the state that authorize the event. A new event names the events at these keys as its auth events.
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

/// Checks an event against a state: that of its auth events, that before it, or the current one. `lookup` must know the create
/// event and the events at [`auth_types`]; for other keys it may return `None`.
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

/// Checks that the auth events of an event are of the right types, of its room and not rejected. Needed once for an event of
/// another server; those that this server selects by [`auth_types`] pass.
pub fn check_auth_events(
    rules: &RoomVersionRules,
    event: &impl Event,
    fetch: impl Fn(&EventId) -> Option<AuthEvent>,
) -> Result<(), AuthError> {
    if *event.event_type() == TimelineEventType::RoomCreate {
        return check_create(&rules.authorization, event);
    }
    if rules.authorization.room_create_event_id_as_room_id {
        let create = event.room_id().and_then(create_event_id);
        let create = create.and_then(|id| fetch(&id));
        // ruma accepts any event here.
        if !create.is_some_and(|create| create.is_create()) {
            return Err(AuthError(
                "room id is not that of a create event".to_owned(),
            ));
        }
    }
    check_state_independent_auth_rules(&rules.authorization, event, fetch).map_err(AuthError)
}

/// The state that an event's auth events form, for the first of its three checks. Since room version 12, the create event is not
/// among them and is looked up by the room id.
pub fn auth_state(
    rules: &RoomVersionRules,
    event: &impl Event<Id = OwnedEventId>,
    fetch: impl Fn(&EventId) -> Option<AuthEvent>,
) -> HashMap<(StateEventType, String), AuthEvent> {
    let create = event
        .room_id()
        .filter(|_| rules.authorization.room_create_event_id_as_room_id)
        .and_then(create_event_id);
    event
        .auth_events()
        .chain(create.as_ref())
        .filter_map(|id| fetch(id))
        .filter(|event| !event.0.is_rejected)
        .filter_map(|event| Some((event.state_pair()?, event)))
        .collect()
}

/// The create event of a room whose id is the hash of that event, as since room version 12.
pub fn create_event_id(room_id: &RoomId) -> Option<OwnedEventId> {
    let hash = room_id.as_str().strip_prefix('!')?;
    OwnedEventId::try_from(format!("${hash}")).ok()
}

fn check_create(rules: &AuthorizationRules, event: &impl Event) -> Result<(), AuthError> {
    if let Some(version) = scan::member(event.content().get(), "room_version") {
        // ruma leaves this to its caller.
        let version = scan::text(version).and_then(|text| RoomVersionId::try_from(&*text).ok());
        if version.is_none_or(|version| room_version::rules(&version).is_none()) {
            return Err(AuthError("room version is not known".to_owned()));
        }
    }
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
        self.0.translated.as_ref().unwrap_or(&self.0.content)
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

    /// The `redacts` beside the content. Only the rules of room versions 1 and 2 read it, where it is in no other place.
    fn redacts(&self) -> Option<&OwnedEventId> {
        self.0.redacts.as_ref()
    }

    fn rejected(&self) -> bool {
        self.0.is_rejected
    }
}

#[cfg(test)]
mod tests;
