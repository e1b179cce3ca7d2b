//! The rules that every user has, from `predefined.json`: those of the specification, those for polls (MSC3930, with
//! `event_match` conditions), and, where the server is set up so, the three that look for mentions in bodies, which version 1.17
//! removed.
//!
//! Each has a bit, so that which of them hold for an event, and which of them a user has enabled, are numbers.

use std::sync::LazyLock;

use ruma::UserId;
use serde::Deserialize;
use serde_json::Value;

use super::{
    conditions::Condition,
    rule::{Kind, Rule},
    ruleset::Outcome,
};

/// Whether names in a body count as mentions, as they did before version 1.17 of the specification. Never where an event says
/// whom it mentions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyMentions {
    #[default]
    Ignored,
    Notify,
}

/// A set of predefined rules: the bit of each is its place in [`PREDEFINED`].
pub(super) type Bits = u32;

/// A rule that asks who its owner is, so that it must be asked for each reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Personal {
    Invite,
    Mention,
    DisplayName,
    UserName,
}

/// A predefined rule.
pub(super) struct Predefined {
    pub(super) kind: Kind,
    pub(super) personal: Option<Personal>,
    pub(super) looks_into_bodies: bool,
    pub(super) conditions: Vec<Condition>,
    pub(super) outcome: Outcome,
    pub(super) enabled: bool,
    /// With [`USER_ID`] and [`LOCALPART`] in the place of its owner's.
    template: Rule,
}

/// All of them, in the order in which those of one kind are asked.
pub(super) static PREDEFINED: LazyLock<Vec<Predefined>> = LazyLock::new(|| {
    let entries: Vec<Entry> =
        serde_json::from_str(include_str!("predefined.json")).expect("a test reads it");
    entries.into_iter().map(Predefined::from).collect()
});

const USER_ID: &str = "[the user's Matrix ID]";
const LOCALPART: &str = "[the local part of the user's Matrix ID]";

#[derive(Deserialize)]
struct Entry {
    kind: Kind,
    personal: Option<Personal>,
    #[serde(default)]
    looks_into_bodies: bool,
    #[serde(flatten)]
    rule: Rule,
}

impl From<Entry> for Predefined {
    fn from(entry: Entry) -> Self {
        let conditions = entry.rule.conditions.iter().flatten();
        Self {
            kind: entry.kind,
            personal: entry.personal,
            looks_into_bodies: entry.looks_into_bodies,
            conditions: conditions.map(Condition::parse).collect(),
            outcome: Outcome::of(&entry.rule.actions),
            enabled: entry.rule.enabled,
            template: Rule {
                default: true,
                ..entry.rule
            },
        }
    }
}

impl Predefined {
    pub(super) fn id(&self) -> &str {
        &self.template.rule_id
    }

    /// The rule as its owner sees it.
    pub(super) fn rule_of(&self, user_id: &UserId) -> Rule {
        let mut rule = self.template.clone();
        if self.personal.is_none() {
            return rule;
        }
        for condition in rule.conditions.iter_mut().flatten() {
            for value in condition.as_object_mut().into_iter().flatten() {
                if *value.1 == USER_ID {
                    *value.1 = Value::from(user_id.as_str());
                }
            }
        }
        if let Some(pattern) = &mut rule.pattern
            && pattern == LOCALPART
        {
            user_id.localpart().clone_into(pattern);
        }
        rule
    }

    pub(super) fn is_there(&self, body_mentions: BodyMentions) -> bool {
        !self.looks_into_bodies || body_mentions == BodyMentions::Notify
    }
}

/// The place of a rule that exists under this setting.
pub(super) fn find(kind: Kind, id: &str, body_mentions: BodyMentions) -> Option<usize> {
    PREDEFINED
        .iter()
        .position(|rule| rule.kind == kind && rule.id() == id && rule.is_there(body_mentions))
}

/// The rules of which something holds.
pub(super) fn bits(holds: impl Fn(&Predefined) -> bool) -> Bits {
    let places = PREDEFINED.iter().enumerate();
    places
        .filter(|(_, rule)| holds(rule))
        .fold(0, |bits, (place, _)| bits | 1 << place)
}
