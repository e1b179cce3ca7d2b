use std::collections::HashMap;

use ruma::{RoomVersionId, UInt, owned_room_id, user_id};
use serde_json::{Value, json};

use super::*;
use crate::{
    content::Content,
    event::{Depth, Draft},
    room_version::{SUPPORTED, rules},
};

/// A room's state, without signatures: the rules do not look at them.
struct Room {
    rules: &'static RoomVersionRules,
    room_id: Option<OwnedRoomId>,
    state: HashMap<(String, String), AuthEvent>,
    last: Option<OwnedEventId>,
    count: u32,
}

impl Room {
    fn new(version: &RoomVersionId, join_rule: &str) -> Self {
        let rules = rules(version).expect("a supported version");
        let mut room = Self {
            rules,
            room_id: None,
            state: HashMap::new(),
            last: None,
            count: 0,
        };
        if rules.authorization.room_create_event_id_as_room_id {
            room.set("@creator:x", "m.room.create", "", &json!({}));
            room.room_id = Some(owned_room_id!("!event0"));
        } else {
            room.room_id = Some(owned_room_id!("!room:x"));
            room.set(
                "@creator:x",
                "m.room.create",
                "",
                &json!({ "creator": "@creator:x" }),
            );
        }
        room.set(
            "@creator:x",
            "m.room.member",
            "@creator:x",
            &json!({ "membership": "join" }),
        );
        let mut levels = json!({ "users": { "@mod:x": 50 } });
        if !rules.authorization.explicitly_privilege_room_creators {
            levels["users"]["@creator:x"] = json!(100);
        }
        room.set("@creator:x", "m.room.power_levels", "", &levels);
        room.set(
            "@creator:x",
            "m.room.join_rules",
            "",
            &json!({ "join_rule": join_rule }),
        );
        room
    }

    fn draft(&self, sender: &str, kind: &str, state_key: Option<&str>, content: &Value) -> Draft {
        Draft {
            rules: self.rules,
            room_id: self.room_id.clone(),
            sender: OwnedUserId::try_from(sender).expect("a user id"),
            kind: kind.into(),
            state_key: state_key.map(str::to_owned),
            content: Content::of(content).expect("content"),
            auth_events: Vec::new(),
            prev_events: self.last.clone().into_iter().collect(),
            depth: Depth(1),
            origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::from(1_u32)),
            redacts: None,
            old_format: None,
        }
    }

    fn check(&self, draft: &Draft) -> Result<(), AuthError> {
        authorize(self.rules, draft, |kind, key| {
            self.state.get(&(kind.to_string(), key.to_owned())).cloned()
        })
    }

    fn may(&self, sender: &str, kind: &str, state_key: Option<&str>, content: &Value) -> bool {
        self.check(&self.draft(sender, kind, state_key, content))
            .is_ok()
    }

    /// Sends a state event that is allowed.
    fn set(&mut self, sender: &str, kind: &str, state_key: &str, content: &Value) {
        let draft = self.draft(sender, kind, Some(state_key), content);
        self.check(&draft)
            .unwrap_or_else(|error| panic!("{kind} of {sender}: {error}"));
        let id = OwnedEventId::try_from(format!("$event{}", self.count)).expect("an event id");
        let mut json = json!({
            "auth_events": [], "content": content, "depth": 1, "origin_server_ts": 1, "prev_events": draft.prev_events,
            "sender": sender, "state_key": state_key, "type": kind,
        });
        if let Some(room_id) = &draft.room_id {
            json["room_id"] = json!(room_id);
        }
        let event = AuthEvent::parse(id.clone(), &json.to_string()).expect("an event");
        self.state
            .insert((kind.to_owned(), state_key.to_owned()), event);
        self.last = Some(id);
        self.count += 1;
    }
}

#[test]
fn who_may_do_what_in_each_version() {
    let (text, join) = (json!({ "body": "x" }), json!({ "membership": "join" }));
    for version in SUPPORTED {
        let mut room = Room::new(&version, "public");
        assert!(
            !room.may("@bob:x", "m.room.message", None, &text),
            "{version}: not joined"
        );
        room.set("@bob:x", "m.room.member", "@bob:x", &join);
        room.set("@mod:x", "m.room.member", "@mod:x", &join);

        assert!(
            room.may("@bob:x", "m.room.message", None, &text),
            "{version}"
        );
        assert!(
            !room.may("@bob:x", "m.room.name", Some(""), &json!({ "name": "n" })),
            "{version}"
        );
        assert!(
            room.may("@mod:x", "m.room.name", Some(""), &json!({ "name": "n" })),
            "{version}"
        );
        assert!(
            !room.may("@bob:x", "org.x", Some("@mod:x"), &json!({})),
            "{version}: another's key"
        );
        room.set(
            "@mod:x",
            "m.room.member",
            "@bob:x",
            &json!({ "membership": "ban" }),
        );
        assert!(
            !room.may("@bob:x", "m.room.member", Some("@bob:x"), &join),
            "{version}: banned"
        );
    }
}

#[test]
fn joining_follows_the_join_rules() {
    let join = json!({ "membership": "join" });
    let knock = json!({ "membership": "knock" });
    for version in SUPPORTED {
        let mut room = Room::new(&version, "invite");
        assert!(
            !room.may("@bob:x", "m.room.member", Some("@bob:x"), &join),
            "{version}"
        );
        room.set(
            "@creator:x",
            "m.room.member",
            "@bob:x",
            &json!({ "membership": "invite" }),
        );
        assert!(
            room.may("@bob:x", "m.room.member", Some("@bob:x"), &join),
            "{version}"
        );

        let knocking = rules(&version).expect("rules").authorization.knocking;
        let room = Room::new(&version, "knock");
        assert_eq!(
            room.may("@bob:x", "m.room.member", Some("@bob:x"), &knock),
            knocking,
            "{version}"
        );
    }
}

#[test]
fn a_restricted_join_names_who_authorizes_it() {
    for version in SUPPORTED {
        let restricted = rules(&version)
            .expect("rules")
            .authorization
            .restricted_join_rule;
        let mut room = Room::new(&version, "restricted");
        room.set(
            "@creator:x",
            "m.room.power_levels",
            "",
            &json!({ "invite": 50, "users": { "@mod:x": 50 } }),
        );
        let join =
            |by: &str| json!({ "membership": "join", "join_authorised_via_users_server": by });

        let may = |by: &str| room.may("@bob:x", "m.room.member", Some("@bob:x"), &join(by));
        assert_eq!(
            may("@creator:x"),
            restricted && has_power(&version),
            "{version}"
        );
        assert!(!may("@nobody:x"), "{version}");
    }
}

/// With a power level event that leaves them out, creators have power only in version 12.
fn has_power(version: &RoomVersionId) -> bool {
    *version == RoomVersionId::V12
}

#[test]
fn version_12_keeps_creators_out_of_the_power_levels() {
    let room = Room::new(&RoomVersionId::V12, "public");
    let levels = json!({ "users": { "@creator:x": 100 } });
    assert!(!room.may("@creator:x", "m.room.power_levels", Some(""), &levels));
    assert!(room.may(
        "@creator:x",
        "m.room.power_levels",
        Some(""),
        &json!({ "users": { "@b:x": 1000 } })
    ));
}

#[test]
fn the_create_event_is_checked_by_its_version() {
    for version in SUPPORTED {
        let is_12 = version == RoomVersionId::V12;
        let mut room = Room::new(&version, "public");
        room.last = None;
        let create = room.draft(
            "@creator:x",
            "m.room.create",
            Some(""),
            &json!({ "creator": "@creator:x" }),
        );
        assert_eq!(
            room.check(&create).is_ok(),
            !is_12,
            "{version}: with a room id"
        );
        let without = Draft {
            room_id: None,
            ..create
        };
        assert_eq!(room.check(&without).is_ok(), is_12, "{version}: without");
    }
}

#[test]
fn the_types_that_authorize_follow_the_event() {
    let room = Room::new(&RoomVersionId::V11, "public");
    let types = |draft: &Draft| {
        auth_types(draft.rules, draft)
            .expect("types")
            .into_iter()
            .map(|(kind, key)| format!("{kind}|{key}"))
            .collect::<Vec<_>>()
    };
    let message = room.draft("@bob:x", "m.room.message", None, &json!({}));
    assert_eq!(
        types(&message),
        [
            "m.room.power_levels|",
            "m.room.member|@bob:x",
            "m.room.create|"
        ]
    );
    let join = json!({ "membership": "join", "join_authorised_via_users_server": "@mod:x" });
    let join = room.draft("@bob:x", "m.room.member", Some("@bob:x"), &join);
    assert_eq!(
        types(&join),
        [
            "m.room.power_levels|",
            "m.room.member|@bob:x",
            "m.room.create|",
            "m.room.join_rules|",
            "m.room.member|@mod:x"
        ]
    );
    let room = Room::new(&RoomVersionId::V12, "public");
    let message = room.draft("@bob:x", "m.room.message", None, &json!({}));
    assert_eq!(
        types(&message),
        ["m.room.power_levels|", "m.room.member|@bob:x"]
    );
    let nonsense = room.draft("@bob:x", "m.room.member", Some("@bob:x"), &json!({}));
    assert!(auth_types(nonsense.rules, &nonsense).is_err());
}

#[test]
fn auth_events_of_others_are_checked_against_the_selection() {
    let room = Room::new(&RoomVersionId::V11, "public");
    let by_id = |id: &EventId| room.state.values().find(|event| event.id() == id).cloned();
    let mut draft = room.draft("@creator:x", "m.room.message", None, &json!({}));
    draft.auth_events = ["$event0", "$event1", "$event2"]
        .map(|id| OwnedEventId::try_from(id).expect("an id"))
        .into();
    assert_eq!(check_auth_events(draft.rules, &draft, by_id), Ok(()));

    let rejected = |id: &EventId| by_id(id).map(AuthEvent::rejected);
    assert!(check_auth_events(draft.rules, &draft, rejected).is_err());
    draft
        .auth_events
        .push(OwnedEventId::try_from("$event3").expect("an id"));
    assert!(
        check_auth_events(draft.rules, &draft, by_id).is_err(),
        "join rules are not for a message"
    );
}

#[test]
fn stored_events_are_read_whole() {
    let room = Room::new(&RoomVersionId::V11, "public");
    let member = &room.state[&("m.room.member".to_owned(), "@creator:x".to_owned())];
    assert_eq!(member.sender(), user_id!("@creator:x"));
    assert_eq!(member.kind(), &TimelineEventType::RoomMember);
    assert_eq!(member.state_key(), Some("@creator:x"));
    assert_eq!(member.content(), r#"{"membership":"join"}"#);
    assert_eq!(member.prev_events().count(), 1);
    assert!(AuthEvent::parse(OwnedEventId::try_from("$x").expect("an id"), "{}").is_err());
}
