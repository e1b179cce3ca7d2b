//! CPU time of what happens to each event: signing, receiving, scanning, authorizing, push rules.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use ed25519_dalek::{Signer as _, SigningKey};
use protocol::{
    authorize::{AuthEvent, auth_types, authorize},
    content::Content,
    event::{Depth, Draft, Signer},
    power_levels::PowerLevels,
    push::{BodyMentions, Kind, Marks, NewRule, OwnRules, PushEvent, Reader, RoomContext},
    receive::Pdu,
    room_version::rules,
    scan::scan,
};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, RoomVersionId, ServerName, UInt,
    owned_user_id, server_name, user_id,
};
use serde_json::{Value, json};

struct Key(SigningKey);

impl Signer for Key {
    fn server_name(&self) -> &ServerName {
        server_name!("example.org")
    }

    fn key_id(&self) -> &'static str {
        "ed25519:a_bench"
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

fn id(number: u32) -> OwnedEventId {
    format!("${number:0>43}").try_into().expect("an event id")
}

fn room_id() -> OwnedRoomId {
    format!("!{:0>43}", 0).try_into().expect("a room id")
}

fn draft(kind: &str, state_key: Option<&str>, content: &Value) -> Draft {
    Draft {
        rules: rules(&RoomVersionId::V12).expect("rules"),
        room_id: (kind != "m.room.create").then(room_id),
        sender: owned_user_id!("@alice:example.org"),
        kind: kind.into(),
        state_key: state_key.map(str::to_owned),
        content: Content::of(content).expect("content"),
        auth_events: vec![id(1), id(2)],
        prev_events: vec![id(3)],
        depth: Depth(1234),
        origin_server_ts: MilliSecondsSinceUnixEpoch(
            UInt::try_from(1_700_000_000_000_u64).expect("a time"),
        ),
        redacts: None,
        old_format: None,
    }
}

fn message() -> Value {
    json!({
        "body": "A message of about the length that people write when they chat with each other.",
        "msgtype": "m.text", "m.mentions": { "user_ids": ["@bob:example.org"] },
    })
}

fn events(criterion: &mut Criterion) {
    let key = Key(SigningKey::from_bytes(&[7; 32]));
    let text = message().to_string();
    criterion.bench_function("canonical content", |bencher| {
        bencher.iter(|| Content::parse(black_box(&text)).expect("content"));
    });
    let draft = draft("m.room.message", None, &message());
    criterion.bench_function("sign a message", |bencher| {
        bencher.iter(|| black_box(&draft).sign(&key).expect("signed"));
    });
    let pdu = draft.sign(&key).expect("signed");
    criterion.bench_function("ed25519 alone", |bencher| {
        bencher.iter(|| key.sign(black_box(pdu.json.as_bytes())));
    });
    let public = key.0.verifying_key().to_bytes();
    criterion.bench_function("read a received message", |bencher| {
        bencher.iter(|| Pdu::read(draft.rules, black_box(&pdu.json)).expect("an event"));
    });
    criterion.bench_function("read and verify a received message", |bencher| {
        bencher.iter(|| {
            let pdu = Pdu::read(draft.rules, black_box(&pdu.json)).expect("an event");
            pdu.verify(|_, _| Some(public)).expect("a signature")
        });
    });
    criterion.bench_function("scan a message", |bencher| {
        bencher.iter(|| scan(black_box(&pdu.json)).expect("an event"));
    });
}

fn authorization(criterion: &mut Criterion) {
    for users in [1, 50, 1_000] {
        let users: Value = (0..users)
            .map(|number| (format!("@user{number}:example.org"), json!(50)))
            .collect();
        let event = |kind: &str, key: &str, content: &Value| {
            let key_pair = Key(SigningKey::from_bytes(&[7; 32]));
            let pdu = draft(kind, Some(key), content)
                .sign(&key_pair)
                .expect("signed");
            AuthEvent::parse(pdu.event_id, &pdu.json).expect("an event")
        };
        let count = users.as_object().map_or(0, serde_json::Map::len);
        let create = event("m.room.create", "", &json!({ "room_version": "12" }));
        let levels = event(
            "m.room.power_levels",
            "",
            &json!({
                "users": users, "events": { "m.room.name": 50, "m.room.power_levels": 100, "m.room.history_visibility": 100,
                "m.room.canonical_alias": 50, "m.room.avatar": 50, "m.room.tombstone": 150, "m.room.server_acl": 100,
                "m.room.encryption": 100 }, "events_default": 0, "state_default": 50, "ban": 50, "kick": 50, "redact": 50,
                "invite": 0, "users_default": 0,
            }),
        );
        let member = event(
            "m.room.member",
            "@alice:example.org",
            &json!({ "membership": "join", "displayname": "Alice" }),
        );
        let rules = event("m.room.join_rules", "", &json!({ "join_rule": "public" }));
        let lookup =
            |kind: &ruma::events::StateEventType, key: &str| match (kind.to_string().as_str(), key)
            {
                ("m.room.create", "") => Some(create.clone()),
                ("m.room.power_levels", "") => Some(levels.clone()),
                ("m.room.member", "@alice:example.org") => Some(member.clone()),
                ("m.room.join_rules", "") => Some(rules.clone()),
                _ => None,
            };
        for (what, draft) in [
            ("message", draft("m.room.message", None, &message())),
            (
                "join",
                draft(
                    "m.room.member",
                    Some("@alice:example.org"),
                    &json!({ "membership": "join" }),
                ),
            ),
        ] {
            criterion.bench_function(
                &format!("authorize a {what}, {count} users with levels"),
                |bencher| {
                    bencher.iter(|| {
                        auth_types(draft.rules, &draft).expect("types");
                        authorize(draft.rules, black_box(&draft), lookup).expect("allowed");
                    });
                },
            );
        }
        criterion.bench_function(&format!("power levels of {count}"), |bencher| {
            bencher.iter(|| {
                PowerLevels::new(rules_of_12(), black_box(&create), Some(&levels)).expect("levels")
            });
        });
    }
}

fn rules_of_12() -> &'static ruma::room_version_rules::RoomVersionRules {
    rules(&RoomVersionId::V12).expect("rules")
}

fn push(criterion: &mut Criterion) {
    let key = Key(SigningKey::from_bytes(&[7; 32]));
    let pdu = draft("m.room.message", None, &message())
        .sign(&key)
        .expect("signed");
    let room = RoomContext {
        member_count: 10_000,
        power_levels: None,
    };
    criterion.bench_function("parse for push", |bencher| {
        bencher.iter(|| PushEvent::new(black_box(&pdu.json), &pdu.room_id).expect("an event"));
    });
    let event = PushEvent::new(&pdu.json, &pdu.room_id).expect("an event");
    let bob = Reader {
        user_id: user_id!("@carol:example.org"),
        display_name: None,
    };
    let mut rules = OwnRules::default();
    let keyword = NewRule {
        rule_id: "k".to_owned(),
        pattern: Some("kEyword*s".to_owned()),
        ..NewRule::default()
    };
    let usual = rules.ruleset(BodyMentions::Ignored);
    rules
        .set(Kind::Content, keyword, None, None)
        .expect("a rule");
    let rules = rules.ruleset(BodyMentions::Ignored);
    let marks = Marks::of(&event, &room);
    criterion.bench_function("marks of an event", |bencher| {
        bencher.iter(|| Marks::of(black_box(&event), &room));
    });
    for (name, rules) in [("predefined rules", &usual), ("a keyword", &rules)] {
        criterion.bench_function(&format!("one reader with {name}"), |bencher| {
            bencher.iter(|| {
                black_box(rules)
                    .outcome(&marks, || Some(&event), &room, &bob)
                    .is_some()
            });
        });
    }
}

criterion_group!(benches, events, authorization, push);
criterion_main!(benches);
