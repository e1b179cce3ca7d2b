//! Asking by marks is asking every rule.

use proptest::prelude::*;
use ruma::{room_id, user_id};
use serde_json::json;

use super::*;
use crate::push::{
    BodyMentions, Kind, NewRule, Outcome, OwnRules, Reader, Verdict, conditions::Condition,
    tests::evaluate,
};

/// Asks every rule as clients see them, one after the other.
fn by_the_book(all: &Value, event: &PushEvent, room: &RoomContext<'_>) -> Verdict {
    for kind in ["override", "content", "room", "sender", "underride"] {
        for rule in all[kind].as_array().expect("a list") {
            let conditions = rule["conditions"].as_array().cloned().unwrap_or_default();
            let is_master = rule["rule_id"] == ".m.rule.master";
            let holds = |condition: &Value| Condition::parse(condition).holds(event, room, None);
            let applies = match kind {
                "sender" => rule["rule_id"] == event.sender(),
                "content" => false,
                _ => is_master || conditions.iter().all(holds),
            };
            if rule["enabled"] == true && applies {
                let actions = rule["actions"].as_array().expect("a list");
                return Outcome::of(actions).verdict;
            }
        }
    }
    Verdict::default()
}

proptest! {
    #[test]
    fn marks_say_what_asking_every_rule_says(
        kind in proptest::sample::select(vec![
            "m.room.message", "m.room.member", "m.room.encrypted", "m.reaction", "m.room.tombstone",
            "m.call.invite", "org.matrix.msc3381.poll.start", "org.matrix.msc3381.poll.response", "x",
        ]),
        membership in proptest::option::of(proptest::sample::select(vec!["invite", "join"])),
        state_key in proptest::option::of(proptest::sample::select(vec!["", "@a:x", "@b:x"])),
        mentions in proptest::collection::vec(proptest::sample::select(vec!["@a:x", "@b:x", "@d:x"]), 0..3),
        is_notice: bool,
        is_edit: bool,
        mentions_room: bool,
        is_sender_muted: bool,
        disabled in proptest::option::of(proptest::sample::select(vec![
            (Kind::Override, ".m.rule.member_event"), (Kind::Override, ".m.rule.suppress_notices"),
            (Kind::Underride, ".m.rule.message"), (Kind::Override, ".m.rule.is_user_mention"),
        ])),
        member_count in 1_u64..4,
    ) {
        let json = json!({
            "type": kind, "sender": "@s:x", "state_key": state_key,
            "content": {
                "membership": membership, "msgtype": if is_notice { "m.notice" } else { "m.text" }, "body": "b",
                "m.mentions": { "user_ids": mentions, "room": mentions_room },
                "m.relates_to": { "rel_type": if is_edit { "m.replace" } else { "m.thread" } },
            },
        });
        let event = PushEvent::new(&json.to_string(), room_id!("!r:x")).expect("an event");
        let room = RoomContext { member_count, power_levels: None };
        let mut rules = OwnRules::default();
        if is_sender_muted {
            let mute = NewRule { rule_id: "@s:x".to_owned(), ..NewRule::default() };
            rules.set(Kind::Sender, mute, None, None).expect("a rule");
        }
        if let Some((kind, id)) = disabled {
            rules.enable(kind, id, false, BodyMentions::Ignored).expect("a rule");
        }
        let ruleset = rules.ruleset(BodyMentions::Ignored);
        for user_id in [user_id!("@a:x"), user_id!("@b:x"), user_id!("@c:x")] {
            let all = rules.all(user_id, BodyMentions::Ignored);
            let all = serde_json::to_value(all).expect("JSON");
            let reader = Reader { user_id, display_name: None };
            let verdict = evaluate(&ruleset, &event, &room, &reader);
            let mut stir = Stir::default();
            stir.add(&Marks::of(&event, &room));
            prop_assert!(!verdict.notify || !ruleset.is_deaf_to(&stir, room_id!("!r:x"), user_id));
            prop_assert_eq!(verdict, by_the_book(&all, &event, &room), "{}", user_id);
        }
    }
}
