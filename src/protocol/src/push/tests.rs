//! What rules say of events.

use ruma::{RoomVersionId, owned_event_id, room_id, user_id};
use serde_json::{Value, json};

use super::*;
use crate::{authorize::AuthEvent, power_levels::PowerLevels, room_version::rules};

const QUIET: Verdict = Verdict {
    notify: false,
    highlight: false,
};
const NOTIFY: Verdict = Verdict {
    notify: true,
    highlight: false,
};
const HIGHLIGHT: Verdict = Verdict {
    notify: true,
    highlight: true,
};

fn event(json: &Value) -> PushEvent {
    PushEvent::new(&json.to_string(), room_id!("!r:x")).expect("an event")
}

fn message(content: &Value) -> PushEvent {
    event(&json!({ "type": "m.room.message", "sender": "@sender:x", "content": content }))
}

pub(super) fn evaluate(
    rules: &Ruleset,
    event: &PushEvent,
    room: &RoomContext<'_>,
    reader: &Reader<'_>,
) -> Verdict {
    let marks = Marks::of(event, room);
    let outcome = rules.outcome(&marks, || Some(event), room, reader);
    outcome.map_or_else(Verdict::default, |outcome| outcome.verdict)
}

fn for_alice(rules: &Ruleset, event: &PushEvent, member_count: u64) -> Verdict {
    let room = RoomContext {
        member_count,
        power_levels: None,
    };
    let alice = Reader {
        user_id: user_id!("@alice:x"),
        display_name: Some("Alice M."),
    };
    evaluate(rules, event, &room, &alice)
}

/// The rules of who changed nothing.
fn usual(body_mentions: BodyMentions) -> Ruleset {
    OwnRules::default().ruleset(body_mentions)
}

fn own(rules: &Value) -> OwnRules {
    serde_json::from_value(json!({ "own": rules })).expect("rules")
}

fn custom(rules: &Value) -> Ruleset {
    own(rules).ruleset(BodyMentions::Ignored)
}

/// Highlights under these conditions.
fn when(conditions: &Value) -> Ruleset {
    let actions = json!(["notify", { "set_tweak": "highlight" }]);
    custom(&json!({
        "override": [{ "rule_id": "own", "conditions": conditions, "actions": actions }],
    }))
}

#[test]
fn the_predefined_rules() {
    let rules = usual(BodyMentions::Ignored);
    for (event, expected) in [
        (
            message(&json!({ "msgtype": "m.text", "body": "hi alice" })),
            NOTIFY,
        ),
        (
            message(&json!({ "msgtype": "m.notice", "body": "hi" })),
            QUIET,
        ),
        (
            message(&json!({ "body": "x", "m.mentions": { "user_ids": ["@alice:x"] } })),
            HIGHLIGHT,
        ),
        (
            message(&json!({ "body": "x", "m.mentions": { "user_ids": ["@bob:x"] } })),
            NOTIFY,
        ),
        (
            message(&json!({ "body": "x", "m.relates_to": { "rel_type": "m.replace" } })),
            QUIET,
        ),
        (
            event(&json!({ "type": "m.room.encrypted", "sender": "@s:x", "content": {} })),
            NOTIFY,
        ),
        (
            event(&json!({ "type": "m.reaction", "sender": "@s:x", "content": {} })),
            QUIET,
        ),
        (
            event(&json!({ "type": "m.call.invite", "sender": "@s:x", "content": {} })),
            NOTIFY,
        ),
        (
            event(
                &json!({ "type": "m.room.tombstone", "state_key": "", "sender": "@s:x", "content": {} }),
            ),
            HIGHLIGHT,
        ),
        (
            event(&json!({ "type": "m.room.tombstone", "sender": "@s:x", "content": {} })),
            QUIET,
        ),
        (
            event(
                &json!({ "type": "m.room.topic", "state_key": "", "sender": "@s:x", "content": {} }),
            ),
            QUIET,
        ),
        (
            event(
                &json!({ "type": "org.matrix.msc3381.poll.start", "sender": "@s:x", "content": {} }),
            ),
            NOTIFY,
        ),
        (
            event(
                &json!({ "type": "org.matrix.msc3381.poll.response", "sender": "@s:x", "content": {} }),
            ),
            QUIET,
        ),
    ] {
        assert_eq!(for_alice(&rules, &event, 5), expected, "{event:?}");
    }
}

#[test]
fn an_invite_notifies_the_one_it_invites() {
    let rules = usual(BodyMentions::Ignored);
    let invite = |target: &str, membership: &str| {
        event(&json!({
            "type": "m.room.member", "state_key": target, "sender": "@s:x", "content": { "membership": membership },
        }))
    };
    assert_eq!(for_alice(&rules, &invite("@alice:x", "invite"), 2), NOTIFY);
    assert_eq!(for_alice(&rules, &invite("@bob:x", "invite"), 2), QUIET);
    assert_eq!(for_alice(&rules, &invite("@alice:x", "leave"), 2), QUIET);
}

fn levels_with_sender_at_50() -> PowerLevels {
    let of = |kind: &str, content: Value| {
        let json = json!({
            "auth_events": [], "content": content, "depth": 1, "origin_server_ts": 1, "prev_events": [],
            "room_id": "!r:x", "sender": "@s:x", "state_key": "", "type": kind,
        });
        AuthEvent::parse(owned_event_id!("$e"), &json.to_string()).expect("an event")
    };
    PowerLevels::new(
        rules(&RoomVersionId::V11).expect("rules"),
        &of("m.room.create", json!({})),
        Some(&of(
            "m.room.power_levels",
            json!({ "users": { "@sender:x": 50 } }),
        )),
    )
    .expect("levels")
}

#[test]
fn mentioning_the_room_asks_for_power() {
    let levels = levels_with_sender_at_50();
    let rules = usual(BodyMentions::Ignored);
    let alice = Reader {
        user_id: user_id!("@alice:x"),
        display_name: None,
    };
    let room = RoomContext {
        member_count: 9,
        power_levels: Some(&levels),
    };
    let content = json!({ "body": "x", "m.mentions": { "room": true } });
    let by_other =
        event(&json!({ "type": "m.room.message", "sender": "@other:x", "content": content }));

    assert_eq!(
        evaluate(&rules, &message(&content), &room, &alice),
        HIGHLIGHT
    );
    assert_eq!(evaluate(&rules, &by_other, &room, &alice), NOTIFY);
}

#[test]
fn names_in_bodies_count_where_it_is_set_so_and_nobody_is_mentioned() {
    let rules = usual(BodyMentions::Notify);
    for (content, expected) in [
        (json!({ "body": "hello ALICE!" }), HIGHLIGHT),
        (json!({ "body": "hello alice m." }), HIGHLIGHT),
        (json!({ "body": "malice" }), NOTIFY),
        (json!({ "body": "alice", "m.mentions": {} }), NOTIFY),
    ] {
        assert_eq!(
            for_alice(&rules, &message(&content), 5),
            expected,
            "{content}"
        );
    }
}

#[test]
fn a_display_name_is_not_a_pattern() {
    let rules = when(&json!([{ "kind": "contains_display_name" }]));
    let named = |name: &str| {
        let room = RoomContext {
            member_count: 3,
            power_levels: None,
        };
        let reader = Reader {
            user_id: user_id!("@alice:x"),
            display_name: Some(name),
        };
        evaluate(
            &rules,
            &message(&json!({ "body": "a long * body" })),
            &room,
            &reader,
        )
    };
    assert_eq!(named("a*y"), NOTIFY);
    assert_eq!(named(""), NOTIFY);
    assert_eq!(named("body"), HIGHLIGHT);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table of conditions")]
fn conditions() {
    let event = event(&json!({
        "type": "m.room.message", "sender": "@s:x", "state_key": "k",
        "content": { "body": "some Cake", "n": 3, "t": true, "none": null, "list": ["a", 1, null, ["x"]], "text": "T x" },
    }));
    for (condition, expected) in [
        (
            json!({ "kind": "event_match", "key": "content.body", "pattern": "cake" }),
            true,
        ),
        (
            json!({ "kind": "event_match", "key": "content.body", "pattern": "cak" }),
            false,
        ),
        (
            json!({ "kind": "event_match", "key": "content.text", "pattern": "t" }),
            false,
        ),
        (
            json!({ "kind": "event_match", "key": "content.text", "pattern": "t*" }),
            true,
        ),
        (
            json!({ "kind": "event_match", "key": "content.n", "pattern": "*" }),
            false,
        ),
        (
            json!({ "kind": "event_match", "key": "content.absent", "pattern": "*" }),
            false,
        ),
        (
            json!({ "kind": "event_match", "key": "room_id", "pattern": "!r:x" }),
            true,
        ),
        (
            json!({ "kind": "event_property_is", "key": "content.n", "value": 3 }),
            true,
        ),
        (
            json!({ "kind": "event_property_is", "key": "content.n", "value": "3" }),
            false,
        ),
        (
            json!({ "kind": "event_property_is", "key": "content.t", "value": true }),
            true,
        ),
        (
            json!({ "kind": "event_property_is", "key": "content.none", "value": null }),
            true,
        ),
        (
            json!({ "kind": "event_property_is", "key": "content.absent", "value": null }),
            false,
        ),
        (
            json!({ "kind": "event_property_is", "key": "content.body", "value": "some cake" }),
            false,
        ),
        (
            json!({ "kind": "event_property_contains", "key": "content.list", "value": 1 }),
            true,
        ),
        (
            json!({ "kind": "event_property_contains", "key": "content.list", "value": null }),
            true,
        ),
        (
            json!({ "kind": "event_property_contains", "key": "content.list", "value": "x" }),
            false,
        ),
        (
            json!({ "kind": "event_property_contains", "key": "content.body", "value": "some Cake" }),
            false,
        ),
        (json!({ "kind": "room_member_count", "is": "2" }), true),
        (json!({ "kind": "room_member_count", "is": ">2" }), false),
        (json!({ "kind": "room_member_count", "is": "<=2" }), true),
        (json!({ "kind": "room_member_count", "is": "==2" }), true),
        (json!({ "kind": "room_member_count", "is": ">=3" }), false),
        (json!({ "kind": "room_member_count", "is": "< 3" }), false),
        (json!({ "kind": "room_member_count", "is": "+2" }), false),
        (json!({ "kind": "room_member_count" }), false),
        (
            json!({ "kind": "event_match", "key": "content.body" }),
            false,
        ),
        (
            json!({ "kind": "event_property_is", "key": "content.list", "value": ["a"] }),
            false,
        ),
        (
            json!({ "kind": "sender_notification_permission", "key": "room" }),
            false,
        ),
        (json!({ "kind": "org.example.unknown" }), false),
    ] {
        let rules = when(&json!([condition]));
        assert_eq!(
            for_alice(&rules, &event, 2).highlight,
            expected,
            "{condition}"
        );
    }
}

#[test]
fn the_first_rule_that_matches_decides() {
    let rule = |id: &str, enabled: bool, actions: Value| json!({ "rule_id": id, "default": false, "enabled": enabled, "actions": actions });
    let mut keyword = rule(
        "cake",
        true,
        json!(["notify", { "set_tweak": "highlight" }]),
    );
    keyword["pattern"] = json!("cake");
    let rules = |override_enabled: bool| {
        custom(&json!({
            "override": [rule("o", override_enabled, json!([]))],
            "content": [keyword],
            "room": [rule("!r:x", true, json!(["notify"]))],
            "sender": [rule("@sender:x", true, json!([]))],
        }))
    };
    assert_eq!(
        for_alice(&rules(true), &message(&json!({ "body": "cake" })), 3),
        QUIET
    );
    assert_eq!(
        for_alice(&rules(false), &message(&json!({ "body": "cake" })), 3),
        HIGHLIGHT
    );
    assert_eq!(
        for_alice(&rules(false), &message(&json!({ "body": "bread" })), 3),
        NOTIFY
    );
}

#[test]
fn historical_actions_do_nothing() {
    let rules = custom(&json!({
        "override": [{ "rule_id": "o", "conditions": [], "actions": ["dont_notify", "coalesce"] }],
    }));
    assert_eq!(
        for_alice(&rules, &message(&json!({ "body": "x" })), 3),
        QUIET
    );
}

#[test]
fn a_highlight_is_one_without_a_value_or_with_true() {
    for (value, expected) in [
        (json!({ "set_tweak": "highlight" }), HIGHLIGHT),
        (
            json!({ "set_tweak": "highlight", "value": true }),
            HIGHLIGHT,
        ),
        (json!({ "set_tweak": "highlight", "value": false }), NOTIFY),
        (json!({ "set_tweak": "sound", "value": true }), NOTIFY),
        (json!("highlight"), NOTIFY),
    ] {
        let rules = custom(&json!({
            "override": [{ "rule_id": "o", "actions": ["notify", value] }],
        }));
        let verdict = for_alice(&rules, &message(&json!({ "body": "x" })), 3);
        assert_eq!(verdict, expected, "{value}");
    }
}

#[test]
fn the_whole_room_can_be_mentioned_in_a_body_where_it_is_set_so() {
    let of = |body_mentions, content: Value| {
        let event = message(&content);
        let levels = levels_with_sender_at_50();
        let room = RoomContext {
            member_count: 9,
            power_levels: Some(&levels),
        };
        let alice = Reader {
            user_id: user_id!("@alice:x"),
            display_name: None,
        };
        evaluate(&usual(body_mentions), &event, &room, &alice)
    };
    let content = json!({ "body": "hi @room" });
    assert_eq!(of(BodyMentions::Notify, content.clone()), HIGHLIGHT);
    assert_eq!(of(BodyMentions::Ignored, content), NOTIFY);
    let silent = json!({ "body": "hi @room", "m.mentions": {} });
    assert_eq!(of(BodyMentions::Notify, silent), NOTIFY);
}

#[test]
fn predefined_rules_are_changed_and_changed_back() {
    let mut rules = OwnRules::default();
    let ignored = BodyMentions::Ignored;
    let (kind, id) = (Kind::Underride, ".m.rule.message");
    let hello = message(&json!({ "body": "hello" }));
    rules.enable(kind, id, false, ignored).expect("there");
    assert_eq!(for_alice(&rules.ruleset(ignored), &hello, 3), QUIET);
    rules.enable(kind, id, true, ignored).expect("there");
    let loud = vec![json!("notify"), json!({ "set_tweak": "highlight" })];
    rules.set_actions(kind, id, loud, ignored).expect("there");
    assert_eq!(for_alice(&rules.ruleset(ignored), &hello, 3), HIGHLIGHT);
    let usual = vec![json!("notify")];
    rules.set_actions(kind, id, usual, ignored).expect("there");
    assert_eq!(rules, OwnRules::default());

    let master = ".m.rule.master";
    rules
        .enable(Kind::Override, master, true, ignored)
        .expect("there");
    assert_eq!(for_alice(&rules.ruleset(ignored), &hello, 3), QUIET);
}
