use std::collections::HashMap;

use ruma::{RoomVersionId, UInt, owned_event_id, owned_room_id, user_id};
use serde_json::{Value, json};

use super::*;
use crate::{
    content::Content,
    event::{Depth, Draft, OldFormat},
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

#[test]
fn power_levels_of_old_rooms_may_be_strings_and_floats() {
    for version in SUPPORTED {
        let rules = rules(&version).expect("rules");
        let room = Room::new(&version, "public");
        // As another server sent it: a draft has canonical content.
        let authorizes = |level: &str| {
            let json = format!(
                r#"{{"auth_events":[],"content":{{"users":{{"@creator:x":100,"@mod:x":{level}}}}},"depth":1,"origin_server_ts":1,
                "prev_events":[],"room_id":"!room:x","sender":"@creator:x","state_key":"","type":"m.room.power_levels"}}"#
            );
            let event = AuthEvent::parse(owned_event_id!("$levels"), &json).expect("an event");
            let levels = room.draft("@creator:x", "m.room.name", Some(""), &json!({}));
            authorize(rules, &levels, |kind, key| match kind {
                StateEventType::RoomPowerLevels => Some(event.clone()),
                _ => room.state.get(&(kind.to_string(), key.to_owned())).cloned(),
            })
            .is_ok()
        };
        let takes_strings = !rules.authorization.integer_power_levels;
        assert!(authorizes("50"), "{version}");
        // Creators of version 12 have power whatever the levels are.
        let is_12 = version == RoomVersionId::V12;
        for level in [r#""50""#, r#"" +050 ""#, r#""-7""#] {
            assert_eq!(
                authorizes(level),
                takes_strings || is_12,
                "{version}: {level}"
            );
        }
        for level in [r#""5.0""#, r#""""#, r#""x""#, "null", "[]"] {
            assert_eq!(authorizes(level), is_12, "{version}: {level}");
        }
        assert!(
            authorizes("50.7") && authorizes("9223372036854775807"),
            "{version}"
        );
    }
}

/// The three checks of an event of another server, one after the other.
#[test]
fn events_of_others_are_checked_by_their_auth_events_and_by_states() {
    for version in SUPPORTED {
        let mut room = Room::new(&version, "public");
        let is_12 = version == RoomVersionId::V12;
        let join = json!({ "membership": "join" });
        room.set("@bob:x", "m.room.member", "@bob:x", &join);
        let mut draft = room.draft("@bob:x", "m.room.message", None, &json!({}));
        let types = auth_types(room.rules, &draft).expect("types");
        let by_type = |(kind, key): &(StateEventType, String)| {
            room.state[&(kind.to_string(), key.clone())].id().to_owned()
        };
        draft.auth_events = types.iter().map(by_type).collect();
        let by_id = |id: &EventId| room.state.values().find(|event| event.id() == id).cloned();

        assert_eq!(
            check_auth_events(room.rules, &draft, by_id),
            Ok(()),
            "{version}"
        );
        let state = auth_state(room.rules, &draft, by_id);
        let lookup =
            |kind: &StateEventType, key: &str| state.get(&(kind.clone(), key.to_owned())).cloned();
        assert_eq!(authorize(room.rules, &draft, lookup), Ok(()), "{version}");
        assert_eq!(room.check(&draft), Ok(()), "{version}");

        let twice = Draft {
            auth_events: [draft.auth_events.clone(), draft.auth_events.clone()].concat(),
            ..draft.clone()
        };
        assert!(
            check_auth_events(room.rules, &twice, by_id).is_err(),
            "{version}"
        );
        let missing = |_: &EventId| None;
        assert!(
            check_auth_events(room.rules, &draft, missing).is_err(),
            "{version}"
        );
        let create = room.state[&("m.room.create".to_owned(), String::new())]
            .id()
            .to_owned();
        let with_create = draft.auth_events.contains(&create);
        assert_eq!(with_create, !is_12, "{version}");
        let mut other = draft.clone();
        match is_12 {
            true => other.auth_events.push(create),
            false => other.auth_events.retain(|id| *id != create),
        }
        assert!(
            check_auth_events(room.rules, &other, by_id).is_err(),
            "{version}"
        );
    }
}

#[test]
fn in_version_12_the_room_id_is_that_of_a_create_event() {
    let room = Room::new(&RoomVersionId::V12, "public");
    let by_id = |id: &EventId| room.state.values().find(|event| event.id() == id).cloned();
    let mut draft = room.draft("@creator:x", "m.room.message", None, &json!({}));
    assert_eq!(check_auth_events(room.rules, &draft, by_id), Ok(()));
    for room_id in ["!event1", "!unknown"] {
        draft.room_id = Some(room_id.try_into().expect("a room id"));
        assert!(
            check_auth_events(room.rules, &draft, by_id).is_err(),
            "{room_id}"
        );
    }
    draft.room_id = room.room_id.clone();
    let rejected = |id: &EventId| by_id(id).map(AuthEvent::rejected);
    assert!(check_auth_events(room.rules, &draft, rejected).is_err());
}

#[test]
fn create_events_of_unknown_room_versions_are_refused() {
    for version in SUPPORTED {
        let mut room = Room::new(&version, "public");
        room.last = None;
        for (value, is_known) in [
            (json!("1"), true),
            (json!("12"), true),
            (json!("13"), false),
            (json!(6), false),
            (json!(null), false),
        ] {
            let content = json!({ "creator": "@creator:x", "room_version": value });
            let mut create = room.draft("@creator:x", "m.room.create", Some(""), &content);
            if version == RoomVersionId::V12 {
                create.room_id = None;
            }
            assert_eq!(room.check(&create).is_ok(), is_known, "{version}: {value}");
            let unreachable = |_: &EventId| None;
            let result = check_auth_events(room.rules, &create, unreachable);
            assert_eq!(result.is_ok(), is_known, "{version}: {value}");
        }
    }
}

/// The rule of room versions 1 and 2 alone; later versions allow the event and decide apart whether it is applied.
#[test]
fn redactions_are_authorized_by_the_servers_of_the_ids_in_versions_1_and_2() {
    for version in SUPPORTED {
        let mut room = Room::new(&version, "public");
        let join = json!({ "membership": "join" });
        room.set("@bob:x", "m.room.member", "@bob:x", &join);
        let is_old = room.rules.authorization.special_case_room_redaction;
        let allows = |sender: &str, target: &str| {
            let mut draft = room.draft(sender, "m.room.redaction", None, &json!({}));
            draft.redacts = Some(target.try_into().expect("an id"));
            draft.old_format = is_old.then(|| {
                Box::new(OldFormat {
                    event_id: owned_event_id!("$own:x"),
                    auth_hashes: Vec::new(),
                    prev_hashes: Vec::new(),
                })
            });
            room.check(&draft).is_ok()
        };
        assert!(allows("@bob:x", "$e:x"), "{version}");
        assert_eq!(allows("@bob:x", "$e:y"), !is_old, "{version}");
        assert!(allows("@creator:x", "$e:y"), "{version}");
    }
}

#[test]
fn aliases_belong_to_their_server_until_version_5() {
    for version in SUPPORTED {
        let room = Room::new(&version, "public");
        let content = json!({ "aliases": ["#a:x"] });
        let is_special = room.rules.authorization.special_case_room_aliases;
        assert_eq!(
            room.may("@nobody:x", "m.room.aliases", Some("x"), &content),
            is_special,
            "{version}"
        );
        assert_eq!(
            room.may("@creator:x", "m.room.aliases", Some("y"), &content),
            !is_special,
            "{version}"
        );
    }
}
