//! The events of one resolution: each is looked up once.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

use ruma::{
    EventId, OwnedEventId, OwnedUserId, UserId,
    events::{StateEventType, TimelineEventType, room::power_levels::UserPowerLevel},
    room_version_rules::RoomVersionRules,
    state_res::{
        Event as _,
        events::{RoomCreateEvent, RoomPowerLevelsEvent},
    },
};

use super::{ResolveError, StatePair};
use crate::authorize::{AuthEvent, auth_types, authorize, create_event_id};

/// The level of a creator where no power level event is known, before room version 12.
const CREATOR_WITHOUT_EVENT: i32 = 100;

pub(super) struct Events<'f> {
    lookup: &'f dyn Fn(&EventId) -> Option<AuthEvent>,
    known: RefCell<HashMap<OwnedEventId, AuthEvent>>,
    /// The creators, by the id of the create event.
    creators: RefCell<HashMap<OwnedEventId, HashSet<OwnedUserId>>>,
    /// Parsed power levels, by the id of their event.
    levels: RefCell<HashMap<OwnedEventId, RoomPowerLevelsEvent<AuthEvent>>>,
}

impl<'f> Events<'f> {
    pub(super) fn new(lookup: &'f dyn Fn(&EventId) -> Option<AuthEvent>) -> Self {
        Self {
            lookup,
            known: RefCell::default(),
            creators: RefCell::default(),
            levels: RefCell::default(),
        }
    }

    pub(super) fn require(&self, id: &EventId) -> Result<AuthEvent, ResolveError> {
        if let Some(event) = self.known.borrow().get(id) {
            return Ok(event.clone());
        }
        let event = self.require_once(id)?;
        self.known.borrow_mut().insert(id.to_owned(), event.clone());
        Ok(event)
    }

    /// The same for an event that is not needed again, so that long walks do not fill the memory.
    pub(super) fn require_once(&self, id: &EventId) -> Result<AuthEvent, ResolveError> {
        (self.lookup)(id).ok_or_else(|| ResolveError::Missing(id.to_owned()))
    }

    /// The place of an event in the state.
    pub(super) fn pair(&self, id: &EventId) -> Result<StatePair, ResolveError> {
        let pair = self.require(id)?.state_pair();
        pair.ok_or_else(|| ResolveError::NotState(id.to_owned()))
    }

    /// The power level event among an event's auth events.
    pub(super) fn power_levels_of(
        &self,
        event: &AuthEvent,
    ) -> Result<Option<AuthEvent>, ResolveError> {
        for id in event.auth_events() {
            let auth_event = self.require(id)?;
            if is_power_levels(&auth_event) {
                return Ok(Some(auth_event));
            }
        }
        Ok(None)
    }

    /// The power level of an event's sender according to the event's own auth events. Power levels that cannot be read count as
    /// none: no accepted event has them.
    pub(super) fn sender_level(
        &self,
        rules: &RoomVersionRules,
        event: &AuthEvent,
    ) -> Result<UserPowerLevel, ResolveError> {
        let is_creator = self.is_creator(rules, event)?;
        if is_creator && rules.authorization.explicitly_privilege_room_creators {
            return Ok(UserPowerLevel::Infinite);
        }
        let level = match self.power_levels_of(event)? {
            Some(levels) => self.level_in(rules, levels, event.sender()),
            None if is_creator => CREATOR_WITHOUT_EVENT.into(),
            None => 0.into(),
        };
        Ok(level.into())
    }

    fn level_in(&self, rules: &RoomVersionRules, levels: AuthEvent, user: &UserId) -> ruma::Int {
        let mut parsed = self.levels.borrow_mut();
        let levels = parsed
            .entry(levels.id().to_owned())
            .or_insert_with(|| RoomPowerLevelsEvent::new(levels));
        let level = levels.user_power_level(user, &rules.authorization);
        level.unwrap_or_default()
    }

    fn is_creator(
        &self,
        rules: &RoomVersionRules,
        event: &AuthEvent,
    ) -> Result<bool, ResolveError> {
        let Some(create) = self.create_of(rules, event)? else {
            return Ok(false);
        };
        let mut known = self.creators.borrow_mut();
        let creators = known.entry(create.id().to_owned()).or_insert_with(|| {
            let creators = RoomCreateEvent::new(create).creators(&rules.authorization);
            creators.unwrap_or_default()
        });
        Ok(creators.contains(event.sender()))
    }

    /// The create event that an event is based on: among its auth events, since room version 12 named by the room id.
    fn create_of(
        &self,
        rules: &RoomVersionRules,
        event: &AuthEvent,
    ) -> Result<Option<AuthEvent>, ResolveError> {
        if *event.kind() == TimelineEventType::RoomCreate {
            return Ok(Some(event.clone()));
        }
        if rules.authorization.room_create_event_id_as_room_id {
            let id = event.room_id().and_then(create_event_id);
            return id.map(|id| self.require(&id)).transpose();
        }
        for id in event.auth_events() {
            let auth_event = self.require(id)?;
            if *auth_event.kind() == TimelineEventType::RoomCreate {
                return Ok(Some(auth_event));
            }
        }
        Ok(None)
    }

    /// Whether the authorization rules allow an event in a state. Where the state has no event, or a rejected one, the event's own
    /// auth events count, unless they were rejected.
    pub(super) fn is_allowed(
        &self,
        rules: &RoomVersionRules,
        event: &AuthEvent,
        state: impl Fn(&StatePair) -> Option<OwnedEventId>,
    ) -> Result<bool, ResolveError> {
        let mut own = Vec::new();
        for id in event.auth_events() {
            let found = self.require(id)?;
            if !found.is_rejected() {
                own.push((self.pair(id)?, found));
            }
        }
        if let Some(create) = self.create_of(rules, event)? {
            own.push(((StateEventType::RoomCreate, String::new()), create));
        }
        self.check(rules, event, state, own)
    }

    /// Whether the authorization rules allow an event in a state, which alone counts.
    pub(super) fn is_allowed_in(
        &self,
        rules: &RoomVersionRules,
        event: &AuthEvent,
        state: impl Fn(&StatePair) -> Option<OwnedEventId>,
    ) -> Result<bool, ResolveError> {
        self.check(rules, event, state, Vec::new())
    }

    /// `fallback` counts where the state has nothing.
    fn check(
        &self,
        rules: &RoomVersionRules,
        event: &AuthEvent,
        state: impl Fn(&StatePair) -> Option<OwnedEventId>,
        fallback: Vec<(StatePair, AuthEvent)>,
    ) -> Result<bool, ResolveError> {
        let Ok(types) = auth_types(rules, event) else {
            return Ok(false);
        };
        let mut basis = Vec::with_capacity(types.len() + fallback.len());
        for pair in types {
            if let Some(id) = state(&pair) {
                let found = self.require(&id)?;
                if !found.is_rejected() {
                    basis.push((pair, found));
                }
            }
        }
        basis.extend(fallback);
        let result = authorize(rules, event, |kind, key| {
            let found = basis
                .iter()
                .find(|(pair, _)| pair.0 == *kind && pair.1 == key);
            found.map(|(_, event)| event.clone())
        });
        Ok(result.is_ok())
    }
}

pub(super) fn is_power_levels(event: &AuthEvent) -> bool {
    *event.kind() == TimelineEventType::RoomPowerLevels && event.state_key() == Some("")
}
