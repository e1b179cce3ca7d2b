//! The rules that every user has: those of the specification, those for polls (MSC3930, with `event_match` conditions), and,
//! where the server is set up so, the two that look for the user's names in bodies, which version 1.17 removed.

use std::{collections::BTreeSet, sync::LazyLock};

use ruma::{
    UserId,
    push::{
        Action, ConditionalPushRule, ConditionalPushRuleInit, EventMatchConditionData,
        HighlightTweakValue, PatternedPushRule, PatternedPushRuleInit, PushCondition,
        RoomMemberCountConditionData, Ruleset, SoundTweakValue, Tweak,
    },
    uint, user_id,
};
use serde_json::Value;

use super::{
    PushEvent, Reader, RoomContext, Verdict, evaluate,
    rules::{first_match, verdict},
};

/// Whether names in a body count as mentions, as they did before version 1.17 of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyMentions {
    Ignored,
    Notify,
}

/// The ruleset of a user who changed nothing.
pub fn server_default(user_id: &UserId, body_mentions: BodyMentions) -> Ruleset {
    let mut rules = Ruleset::server_default(user_id);
    rules.override_.insert(poll_rule(
        "poll_response",
        "response",
        PollRoom::Any,
        Vec::new(),
    ));
    for (name, kind) in [("poll_start", "start"), ("poll_end", "end")] {
        let direct = vec![Action::Notify, default_sound()];
        let name_in_pair = format!("{name}_one_to_one");
        rules
            .underride
            .insert(poll_rule(&name_in_pair, kind, PollRoom::OfTwo, direct));
        rules
            .underride
            .insert(poll_rule(name, kind, PollRoom::Any, vec![Action::Notify]));
    }
    if body_mentions == BodyMentions::Notify {
        let place = rules.override_.get_index_of(".m.rule.is_room_mention");
        let place = place.unwrap_or(rules.override_.len());
        rules.override_.shift_insert(place, contains_display_name());
        rules.content.insert(contains_user_name(user_id));
    }
    rules
}

/// What the predefined rules say of one event, found once for all members of the room. Without [`BodyMentions::Notify`]:
/// those rules ask for each member's names.
#[derive(Debug)]
pub struct Predefined {
    others: Verdict,
    /// Those whom the event may name, in lower case: the target of an invite, and who is mentioned.
    named: BTreeSet<String>,
}

impl Predefined {
    pub fn of(event: &PushEvent, room: &RoomContext<'_>) -> Self {
        let others =
            first_match(&UNNAMED, event, room, None).map_or_else(Verdict::default, verdict);
        let mentioned = event
            .get(r"content.m\.mentions.user_ids")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let named = mentioned
            .chain(event.text("state_key"))
            .map(str::to_lowercase)
            .collect();
        Self { others, named }
    }

    /// The same as evaluating [`server_default`] of the user.
    pub fn for_user(&self, event: &PushEvent, room: &RoomContext<'_>, user_id: &UserId) -> Verdict {
        let id = user_id.as_str();
        let may_be_named = !self.named.is_empty()
            && (self.named.contains(&id.to_lowercase()) || id.contains(['*', '?']));
        if may_be_named {
            let rules = server_default(user_id, BodyMentions::Ignored);
            return evaluate(
                &rules,
                event,
                room,
                &Reader {
                    user_id,
                    display_name: None,
                },
            );
        }
        if event.sender() == id {
            Verdict::default()
        } else {
            self.others
        }
    }

    /// What holds for everyone but the sender and [`Self::may_name`].
    pub fn others(&self) -> Verdict {
        self.others
    }

    /// Whether the event may mean something else for this user than for others.
    pub fn may_name(&self, user_id: &UserId) -> bool {
        self.named.contains(&user_id.as_str().to_lowercase())
            || user_id.as_str().contains(['*', '?'])
    }
}

/// The rules as they are for somebody whom the event does not name.
static UNNAMED: LazyLock<Ruleset> = LazyLock::new(|| {
    let mut rules = server_default(user_id!("@nobody:invalid"), BodyMentions::Ignored);
    rules.override_.shift_remove(".m.rule.invite_for_me");
    rules.override_.shift_remove(".m.rule.is_user_mention");
    rules
});

#[derive(Clone, Copy)]
enum PollRoom {
    Any,
    OfTwo,
}

fn poll_rule(name: &str, kind: &str, room: PollRoom, actions: Vec<Action>) -> ConditionalPushRule {
    let kind =
        EventMatchConditionData::new("type".to_owned(), format!("org.matrix.msc3381.poll.{kind}"));
    let pair = RoomMemberCountConditionData::new(uint!(2).into());
    ConditionalPushRuleInit {
        actions,
        default: true,
        enabled: true,
        rule_id: format!(".org.matrix.msc3930.rule.{name}"),
        conditions: match room {
            PollRoom::Any => vec![kind.into()],
            PollRoom::OfTwo => vec![pair.into(), kind.into()],
        },
    }
    .into()
}

#[expect(
    deprecated,
    reason = "the rule is deprecated, and wanted by those who turn it on"
)]
fn contains_display_name() -> ConditionalPushRule {
    ConditionalPushRuleInit {
        actions: mention_actions(),
        default: true,
        enabled: true,
        rule_id: ".m.rule.contains_display_name".to_owned(),
        conditions: vec![PushCondition::ContainsDisplayName],
    }
    .into()
}

fn contains_user_name(user_id: &UserId) -> PatternedPushRule {
    PatternedPushRuleInit {
        actions: mention_actions(),
        default: true,
        enabled: true,
        rule_id: ".m.rule.contains_user_name".to_owned(),
        pattern: user_id.localpart().to_owned(),
    }
    .into()
}

fn mention_actions() -> Vec<Action> {
    let highlight = Action::SetTweak(Tweak::Highlight(HighlightTweakValue::Yes));
    vec![Action::Notify, default_sound(), highlight]
}

fn default_sound() -> Action {
    Action::SetTweak(Tweak::Sound(SoundTweakValue::Default))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::room_id;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_rules_are_those_of_the_specification_in_its_order() {
        let rules = server_default(user_id!("@a:x"), BodyMentions::Ignored);
        let ids: Vec<_> = rules
            .iter()
            .map(ruma::push::AnyPushRuleRef::rule_id)
            .collect();
        assert_eq!(
            ids,
            [
                ".m.rule.master",
                ".m.rule.suppress_notices",
                ".m.rule.invite_for_me",
                ".m.rule.member_event",
                ".m.rule.is_user_mention",
                ".m.rule.is_room_mention",
                ".m.rule.tombstone",
                ".m.rule.reaction",
                ".m.rule.room.server_acl",
                ".m.rule.suppress_edits",
                ".org.matrix.msc3930.rule.poll_response",
                ".m.rule.call",
                ".m.rule.encrypted_room_one_to_one",
                ".m.rule.room_one_to_one",
                ".m.rule.message",
                ".m.rule.encrypted",
                ".org.matrix.msc3930.rule.poll_start_one_to_one",
                ".org.matrix.msc3930.rule.poll_start",
                ".org.matrix.msc3930.rule.poll_end_one_to_one",
                ".org.matrix.msc3930.rule.poll_end",
            ]
        );
    }

    #[test]
    fn poll_rules_match_by_event_match() {
        let rules = server_default(user_id!("@a:x"), BodyMentions::Ignored);
        let rule = rules
            .underride
            .get(".org.matrix.msc3930.rule.poll_start_one_to_one")
            .expect("a rule");
        assert_eq!(
            serde_json::to_value(rule).expect("JSON"),
            json!({
                "rule_id": ".org.matrix.msc3930.rule.poll_start_one_to_one", "default": true, "enabled": true,
                "conditions": [
                    { "kind": "room_member_count", "is": "2" },
                    { "kind": "event_match", "key": "type", "pattern": "org.matrix.msc3381.poll.start" },
                ],
                "actions": ["notify", { "set_tweak": "sound", "value": "default" }],
            })
        );
    }

    #[test]
    fn names_in_bodies_count_only_where_it_is_set_so() {
        let rules = server_default(user_id!("@alice:x"), BodyMentions::Notify);
        let ids: Vec<_> = rules
            .override_
            .iter()
            .map(|rule| rule.rule_id.as_str())
            .collect();
        assert_eq!(
            ids[4..7],
            [
                ".m.rule.is_user_mention",
                ".m.rule.contains_display_name",
                ".m.rule.is_room_mention"
            ]
        );
        assert_eq!(
            rules
                .content
                .get(".m.rule.contains_user_name")
                .expect("a rule")
                .pattern,
            "alice"
        );
    }

    proptest! {
        #[test]
        fn finding_it_once_for_all_is_evaluating_it_for_each(
            kind in proptest::sample::select(vec![
                "m.room.message", "m.room.member", "m.room.encrypted", "m.reaction", "m.room.tombstone",
                "m.call.invite", "org.matrix.msc3381.poll.start", "org.matrix.msc3381.poll.response", "x",
            ]),
            membership in proptest::option::of(proptest::sample::select(vec!["invite", "join"])),
            state_key in proptest::option::of(proptest::sample::select(vec!["", "@a:x", "@B:x"])),
            mentions in proptest::collection::vec(proptest::sample::select(vec!["@a:x", "@b:x", "@d:x"]), 0..3),
            is_notice: bool,
            is_edit: bool,
            mentions_room: bool,
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
            let once = Predefined::of(&event, &room);
            for user_id in [user_id!("@a:x"), user_id!("@b:x"), user_id!("@c:x"), user_id!("@s:x")] {
                let rules = server_default(user_id, BodyMentions::Ignored);
                let each = evaluate(&rules, &event, &room, &Reader { user_id, display_name: None });
                prop_assert_eq!(once.for_user(&event, &room, user_id), each, "{}", user_id);
                if !once.may_name(user_id) && user_id != "@s:x" {
                    prop_assert_eq!(once.others(), each);
                }
            }
        }
    }
}
