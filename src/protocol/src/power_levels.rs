//! Who may do what in a room: the power levels of users and those that actions need, with the creators' infinite level of room
//! version 12. For answers and for decisions outside the authorization rules, which read the same events on their own:
//! redactions, notifications, who may publish a room.

use std::collections::{BTreeMap, HashSet};

use ruma::{
    Int, OwnedUserId, UserId,
    events::{TimelineEventType, room::power_levels::UserPowerLevel},
    room_version_rules::{AuthorizationRules, RoomVersionRules},
    state_res::events::{RoomCreateEvent, RoomPowerLevelsEvent, RoomPowerLevelsIntField},
};

use serde::Deserialize;

use crate::{
    authorize::{AuthError, AuthEvent},
    content::Content,
};

/// The level of a creator of a room without power levels, before room version 12.
const CREATOR_WITHOUT_EVENT: i32 = 100;
/// The level that a mention needs if `notifications` has no entry for it.
const NOTIFICATION_DEFAULT: i32 = 50;

/// A room's power levels, parsed once and valid as long as its power level event is the current one.
#[derive(Clone, Debug)]
pub struct PowerLevels {
    creators: HashSet<OwnedUserId>,
    are_creators_infinite: bool,
    has_event: bool,
    users: BTreeMap<OwnedUserId, Int>,
    events: BTreeMap<TimelineEventType, Int>,
    notifications: BTreeMap<String, Int>,
    users_default: Int,
    events_default: Int,
    state_default: Int,
    ban: Int,
    kick: Int,
    invite: Int,
    redact: Int,
}

impl PowerLevels {
    /// An error means that the authorization rules refuse every event that needs these levels.
    pub fn new(
        rules: &RoomVersionRules,
        create: &AuthEvent,
        power_levels: Option<&AuthEvent>,
    ) -> Result<Self, AuthError> {
        let rules = &rules.authorization;
        let creators = RoomCreateEvent::new(create)
            .creators(rules)
            .map_err(AuthError)?;
        let levels = power_levels.map(RoomPowerLevelsEvent::new);
        let level = |field: RoomPowerLevelsIntField| match &levels {
            Some(levels) => levels
                .get_as_int_or_default(field, rules)
                .map_err(AuthError),
            None => Ok(field.default_value()),
        };
        Ok(Self {
            creators,
            are_creators_infinite: rules.explicitly_privilege_room_creators,
            has_event: levels.is_some(),
            users: users(levels.as_ref(), rules)?,
            events: map(levels.as_ref(), |levels| levels.events(rules))?,
            notifications: map(levels.as_ref(), |levels| levels.notifications(rules))?,
            users_default: level(RoomPowerLevelsIntField::UsersDefault)?,
            events_default: level(RoomPowerLevelsIntField::EventsDefault)?,
            state_default: level(RoomPowerLevelsIntField::StateDefault)?,
            ban: level(RoomPowerLevelsIntField::Ban)?,
            kick: level(RoomPowerLevelsIntField::Kick)?,
            invite: level(RoomPowerLevelsIntField::Invite)?,
            redact: level(RoomPowerLevelsIntField::Redact)?,
        })
    }

    pub fn of(&self, user: &UserId) -> UserPowerLevel {
        let is_creator = self.creators.contains(user);
        if is_creator && self.are_creators_infinite {
            return UserPowerLevel::Infinite;
        }
        if is_creator && !self.has_event {
            return Int::from(CREATOR_WITHOUT_EVENT).into();
        }
        self.users
            .get(user)
            .copied()
            .unwrap_or(self.users_default)
            .into()
    }

    /// The sender of the create event (until version 10, its `creator`), since version 12 also its `additional_creators`.
    pub fn creators(&self) -> &HashSet<OwnedUserId> {
        &self.creators
    }

    pub fn needed_for_message(&self, kind: &TimelineEventType) -> Int {
        self.events
            .get(kind)
            .copied()
            .unwrap_or(self.events_default)
    }

    pub fn needed_for_state(&self, kind: &TimelineEventType) -> Int {
        self.events.get(kind).copied().unwrap_or(self.state_default)
    }

    pub fn may_send_message(&self, user: &UserId, kind: &TimelineEventType) -> bool {
        self.of(user) >= self.needed_for_message(kind)
    }

    pub fn may_send_state(&self, user: &UserId, kind: &TimelineEventType) -> bool {
        self.of(user) >= self.needed_for_state(kind)
    }

    pub fn may_invite(&self, user: &UserId) -> bool {
        self.of(user) >= self.invite
    }

    pub fn may_kick(&self, user: &UserId, target: &UserId) -> bool {
        self.of(user) >= self.kick && self.of(user) > self.of(target)
    }

    pub fn may_ban(&self, user: &UserId, target: &UserId) -> bool {
        self.of(user) >= self.ban && self.of(user) > self.of(target)
    }

    /// Events of others; redacting one's own needs only the level to send a redaction.
    pub fn may_redact_others(&self, user: &UserId) -> bool {
        self.of(user) >= self.redact
    }

    /// Whether a mention such as `room` notifies when this user makes it.
    pub fn may_notify(&self, user: &UserId, key: &str) -> bool {
        let needed = self
            .notifications
            .get(key)
            .copied()
            .unwrap_or_else(|| NOTIFICATION_DEFAULT.into());
        self.of(user) >= needed
    }
}

/// Why the content of a new power level event is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("power levels are not valid: {0}")]
pub struct LevelsError(String);

/// Checks the content of a power level event that a user of this server sends, in any room version: levels must be integers.
/// The authorization rules of room versions 1 to 9 also accept strings, but only so that old events stay valid
/// (server-server API, "Definitions").
pub fn validate_new(content: &Content) -> Result<(), LevelsError> {
    serde_json::from_str::<NewLevels>(content.as_str())
        .map(|_| ())
        .map_err(|error| LevelsError(error.to_string()))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NewLevels {
    ban: Int,
    events: BTreeMap<TimelineEventType, Int>,
    events_default: Int,
    invite: Int,
    kick: Int,
    notifications: BTreeMap<String, Int>,
    redact: Int,
    state_default: Int,
    users: BTreeMap<OwnedUserId, Int>,
    users_default: Int,
}

fn users(
    levels: Option<&RoomPowerLevelsEvent<&AuthEvent>>,
    rules: &AuthorizationRules,
) -> Result<BTreeMap<OwnedUserId, Int>, AuthError> {
    match levels {
        Some(levels) => Ok(levels
            .users(rules)
            .map_err(AuthError)?
            .cloned()
            .unwrap_or_default()),
        None => Ok(BTreeMap::new()),
    }
}

fn map<T>(
    levels: Option<&RoomPowerLevelsEvent<&AuthEvent>>,
    read: impl FnOnce(&RoomPowerLevelsEvent<&AuthEvent>) -> Result<Option<BTreeMap<T, Int>>, String>,
) -> Result<BTreeMap<T, Int>, AuthError> {
    match levels {
        Some(levels) => Ok(read(levels).map_err(AuthError)?.unwrap_or_default()),
        None => Ok(BTreeMap::new()),
    }
}

#[cfg(test)]
mod tests {
    use ruma::{RoomVersionId, int, owned_event_id, user_id};
    use serde_json::{Value, json};

    use super::*;
    use crate::room_version::rules;

    fn event(kind: &str, sender: &str, content: &Value) -> AuthEvent {
        let json = json!({
            "auth_events": [], "content": content, "depth": 1, "origin_server_ts": 1, "prev_events": [],
            "room_id": "!r:x", "sender": sender, "state_key": "", "type": kind,
        });
        AuthEvent::parse(owned_event_id!("$e"), &json.to_string()).expect("an event")
    }

    fn levels(
        version: &RoomVersionId,
        create: &Value,
        content: Option<&Value>,
    ) -> Result<PowerLevels, AuthError> {
        let create = event("m.room.create", "@creator:x", create);
        let content = content.map(|content| event("m.room.power_levels", "@creator:x", content));
        PowerLevels::new(rules(version).expect("rules"), &create, content.as_ref())
    }

    #[test]
    fn without_an_event_the_creator_has_a_hundred_and_others_nothing() {
        let levels = levels(&RoomVersionId::V11, &json!({}), None).expect("levels");

        assert_eq!(levels.of(user_id!("@creator:x")), int!(100));
        assert_eq!(levels.of(user_id!("@a:x")), int!(0));
        assert!(levels.may_send_message(user_id!("@a:x"), &TimelineEventType::RoomMessage));
        assert!(levels.may_invite(user_id!("@a:x")));
        assert!(!levels.may_send_state(user_id!("@a:x"), &TimelineEventType::RoomName));
    }

    #[test]
    fn since_version_12_creators_are_above_everyone() {
        let create = json!({ "additional_creators": ["@second:x"] });
        let content =
            json!({ "users": { "@admin:x": 9_007_199_254_740_991_i64 }, "users_default": 7 });
        let old = levels(&RoomVersionId::V11, &create, Some(&content)).expect("levels");
        let new = levels(&RoomVersionId::V12, &create, Some(&content)).expect("levels");

        assert_eq!(old.of(user_id!("@creator:x")), int!(7));
        assert_eq!(old.of(user_id!("@second:x")), int!(7));
        for creator in [user_id!("@creator:x"), user_id!("@second:x")] {
            assert_eq!(new.of(creator), UserPowerLevel::Infinite);
            assert!(new.may_kick(creator, user_id!("@admin:x")));
            assert!(!new.may_kick(user_id!("@admin:x"), creator));
        }
    }

    #[test]
    fn each_action_asks_for_its_own_level() {
        let content = json!({
            "users": { "@u:x": 10 }, "events": { "m.room.name": 10, "m.room.message": 11 }, "events_default": 10,
            "state_default": 11, "ban": 10, "kick": 11, "invite": 11, "redact": 10, "notifications": { "room": 10 },
        });
        let levels = levels(
            &RoomVersionId::V10,
            &json!({ "creator": "@creator:x" }),
            Some(&content),
        )
        .expect("levels");
        let (user, other) = (user_id!("@u:x"), user_id!("@o:x"));

        assert!(levels.may_send_state(user, &TimelineEventType::RoomName));
        assert!(!levels.may_send_state(user, &TimelineEventType::RoomTopic));
        assert!(!levels.may_send_message(user, &TimelineEventType::RoomMessage));
        assert!(levels.may_send_message(user, &TimelineEventType::Reaction));
        assert!(levels.may_ban(user, other) && !levels.may_ban(user, user));
        assert!(!levels.may_kick(user, other));
        assert!(!levels.may_invite(user));
        assert!(levels.may_redact_others(user) && !levels.may_redact_others(other));
        assert!(levels.may_notify(user, "room") && !levels.may_notify(user, "other"));
    }

    #[test]
    fn new_levels_are_integers() {
        let check = |content: Value| validate_new(&Content::of(&content).expect("content"));
        assert_eq!(check(json!({})), Ok(()));
        let whole = json!({
            "ban": 50, "events": { "m.room.name": -1 }, "events_default": 0, "invite": 0, "kick": 50, "other": "50",
            "notifications": { "room": 50 }, "redact": 50, "state_default": 50, "users": { "@a:x": 100 }, "users_default": 0,
        });
        assert_eq!(check(whole.clone()), Ok(()));
        let names = whole.as_object().expect("an object").keys();
        for name in names.filter(|name| *name != "other") {
            for wrong in [json!("50"), json!(null), json!([1]), json!({ "@a:x": "1" })] {
                assert!(check(json!({ name: wrong })).is_err(), "{name}: {wrong}");
            }
        }
        assert!(
            check(json!({ "users": { "a": 1 } })).is_err(),
            "not a user id"
        );
    }

    #[test]
    fn levels_of_old_rooms_may_be_any_number() {
        let create = json!({ "creator": "@creator:x" });
        for version in [RoomVersionId::V1, RoomVersionId::V5] {
            let content = json!({ "users": { "@u:x": 50.57, "@v:x": i64::MAX }, "ban": "000060", "kick": "+70" });
            let levels = levels(&version, &create, Some(&content)).expect("levels");
            assert_eq!(levels.of(user_id!("@u:x")), int!(50));
            assert_eq!(levels.of(user_id!("@v:x")), Int::MAX);
            assert_eq!((levels.ban, levels.kick), (int!(60), int!(70)));
        }
    }

    #[test]
    fn strings_are_levels_before_version_10_only() {
        let content = json!({ "users": { "@u:x": "50" }, "ban": " 60 " });
        let create = json!({ "creator": "@creator:x" });

        let old = levels(&RoomVersionId::V9, &create, Some(&content)).expect("levels");
        assert_eq!(old.of(user_id!("@u:x")), int!(50));
        assert!(levels(&RoomVersionId::V10, &create, Some(&content)).is_err());
    }
}
