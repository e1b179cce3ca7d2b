//! Matching a ruleset against an event: the first enabled rule whose conditions all hold decides, in the order override,
//! content, room, sender, underride.

use std::{borrow::Cow, ops::RangeBounds as _};

use ruma::{
    UInt, UserId,
    push::{AnyPushRuleRef, ConditionalPushRule, PushCondition, Ruleset, ScalarJsonValue},
};
use serde_json::Value;

use super::{PushEvent, Verdict, glob};
use crate::power_levels::PowerLevels;

/// The room at the event, as far as rules ask for it.
#[derive(Clone, Copy, Debug)]
pub struct RoomContext<'a> {
    /// Joined members.
    pub member_count: u64,
    /// Without them, nobody may notify the whole room.
    pub power_levels: Option<&'a PowerLevels>,
}

/// The user whose rules they are.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    pub user_id: &'a UserId,
    /// Their display name in the room, for the rules that look for it in bodies.
    pub display_name: Option<&'a str>,
}

/// What the event means for the reader. Their own events mean nothing.
pub fn evaluate(
    rules: &Ruleset,
    event: &PushEvent,
    room: &RoomContext<'_>,
    reader: &Reader<'_>,
) -> Verdict {
    matching_rule(rules, event, room, reader).map_or_else(Verdict::default, verdict)
}

/// The rule that decides, for those who need its actions.
pub fn matching_rule<'r>(
    rules: &'r Ruleset,
    event: &PushEvent,
    room: &RoomContext<'_>,
    reader: &Reader<'_>,
) -> Option<AnyPushRuleRef<'r>> {
    if event.sender() == reader.user_id.as_str() {
        return None;
    }
    first_match(rules, event, room, reader.display_name)
}

pub(super) fn verdict(rule: AnyPushRuleRef<'_>) -> Verdict {
    let notify = rule.triggers_notification();
    Verdict {
        notify,
        highlight: notify && rule.triggers_highlight(),
    }
}

pub(super) fn first_match<'r>(
    rules: &'r Ruleset,
    event: &PushEvent,
    room: &RoomContext<'_>,
    display_name: Option<&str>,
) -> Option<AnyPushRuleRef<'r>> {
    rules
        .iter()
        .find(|rule| rule.enabled() && applies(*rule, event, room, display_name))
}

fn applies(
    rule: AnyPushRuleRef<'_>,
    event: &PushEvent,
    room: &RoomContext<'_>,
    display_name: Option<&str>,
) -> bool {
    if LOOKING_INTO_BODIES.contains(&rule.rule_id()) && event.has_mentions() {
        return false;
    }
    match rule {
        AnyPushRuleRef::Override(rule) | AnyPushRuleRef::Underride(rule) => {
            all_hold(rule, event, room, display_name)
        }
        AnyPushRuleRef::Content(rule) => body_matches(event, &rule.pattern),
        AnyPushRuleRef::Room(rule) => event.text("room_id") == Some(rule.rule_id.as_str()),
        AnyPushRuleRef::Sender(rule) => event.sender() == rule.rule_id.as_str(),
        _ => false,
    }
}

/// Predefined rules until version 1.16: they look for mentions in bodies, where an event does not say whom it mentions.
const LOOKING_INTO_BODIES: [&str; 3] = [
    ".m.rule.contains_display_name",
    ".m.rule.contains_user_name",
    ".m.rule.roomnotif",
];

fn all_hold(
    rule: &ConditionalPushRule,
    event: &PushEvent,
    room: &RoomContext<'_>,
    display_name: Option<&str>,
) -> bool {
    rule.conditions
        .iter()
        .all(|condition| holds(condition, event, room, display_name))
}

#[expect(
    deprecated,
    reason = "rulesets of users still have `contains_display_name`"
)]
fn holds(
    condition: &PushCondition,
    event: &PushEvent,
    room: &RoomContext<'_>,
    display_name: Option<&str>,
) -> bool {
    match condition {
        PushCondition::EventMatch(wanted) if wanted.key == "content.body" => {
            body_matches(event, &wanted.pattern)
        }
        PushCondition::EventMatch(wanted) => event
            .text(&wanted.key)
            .is_some_and(|text| whole_matches(&wanted.pattern, text)),
        PushCondition::ContainsDisplayName => {
            display_name.is_some_and(|name| !name.is_empty() && body_contains(event, name))
        }
        PushCondition::RoomMemberCount(wanted) => {
            UInt::new(room.member_count).is_some_and(|count| wanted.is.contains(&count))
        }
        PushCondition::SenderNotificationPermission(wanted) => {
            let Ok(sender) = <&UserId>::try_from(event.sender()) else {
                return false;
            };
            room.power_levels
                .is_some_and(|levels| levels.may_notify(sender, wanted.key.as_ref()))
        }
        PushCondition::EventPropertyIs(wanted) => event
            .get(&wanted.key)
            .is_some_and(|value| is_same(&wanted.value, value)),
        PushCondition::EventPropertyContains(wanted) => event
            .get(&wanted.key)
            .and_then(Value::as_array)
            .is_some_and(|values| values.iter().any(|value| is_same(&wanted.value, value))),
        _ => false,
    }
}

fn is_same(wanted: &ScalarJsonValue, value: &Value) -> bool {
    match wanted {
        ScalarJsonValue::Null => value.is_null(),
        ScalarJsonValue::Bool(wanted) => value.as_bool() == Some(*wanted),
        ScalarJsonValue::Integer(wanted) => value.as_i64() == Some(i64::from(*wanted)),
        ScalarJsonValue::String(wanted) => value.as_str() == Some(wanted),
    }
}

fn whole_matches(pattern: &str, text: &str) -> bool {
    if !pattern.contains(['*', '?']) && pattern.is_ascii() && text.is_ascii() {
        return pattern.eq_ignore_ascii_case(text);
    }
    glob::matches_whole(&lower(pattern), &lower(text))
}

fn body_matches(event: &PushEvent, pattern: &str) -> bool {
    event
        .lower_body()
        .is_some_and(|body| glob::matches_words(&lower(pattern), body))
}

/// A display name is text, also where it looks like a pattern.
fn body_contains(event: &PushEvent, name: &str) -> bool {
    event
        .lower_body()
        .is_some_and(|body| glob::contains_words(&lower(name), body))
}

fn lower(text: &str) -> Cow<'_, str> {
    if text
        .bytes()
        .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
    {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

#[cfg(test)]
mod tests;
