//! What a user has made of the predefined rules: rules of their own, and changes of the predefined ones. Only that is stored,
//! so that everybody follows when the predefined rules change.

use std::collections::BTreeMap;

use ruma::{RoomId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    predefined::{self, BodyMentions, PREDEFINED, bits},
    rule::{Kind, Rule},
    ruleset::{Outcome, Ruleset},
};

/// The rules of a user, without what is predefined and unchanged.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OwnRules {
    /// In the order in which those of a kind are asked.
    #[serde(default)]
    own: BTreeMap<Kind, Vec<Rule>>,
    /// By the rule's id.
    #[serde(default)]
    predefined: BTreeMap<String, Change>,
}

/// How a predefined rule is not as it was; what is `None` is as the server has it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Change {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actions: Option<Vec<Value>>,
}

/// A rule as a user writes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewRule {
    pub rule_id: String,
    /// Ignored but for override and underride rules, which match everything without it.
    pub conditions: Option<Vec<Value>>,
    /// Ignored but for content rules, which need it.
    pub pattern: Option<String>,
    pub actions: Vec<Value>,
}

/// Why the rules stay as they were.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no such push rule")]
    NotFound,
    #[error("before/after rule not found: {0}")]
    UnknownNeighbor(String),
    #[error("the rule has no `{0}`")]
    Missing(&'static str),
    #[error("{0}")]
    Invalid(&'static str),
}

impl OwnRules {
    /// What is a user's own of a whole ruleset, by kind: their rules, and how the predefined ones are not as they were.
    pub fn of_all(all: BTreeMap<Kind, Vec<Rule>>) -> Self {
        let mut rules = Self::default();
        for (kind, of_kind) in all {
            for rule in of_kind {
                if !rule.rule_id.starts_with('.') {
                    rules.own.entry(kind).or_default().push(rule);
                    continue;
                }
                // A rule that is predefined no more has nothing to be changed.
                let _ = rules.enable(kind, &rule.rule_id, rule.enabled, BodyMentions::default());
                let _ =
                    rules.set_actions(kind, &rule.rule_id, rule.actions, BodyMentions::default());
            }
        }
        rules
    }

    /// All rules as clients see them, those of each kind in the order in which they are asked.
    pub fn all(&self, user_id: &UserId, body_mentions: BodyMentions) -> BTreeMap<Kind, Vec<Rule>> {
        let mut all: BTreeMap<Kind, Vec<Rule>> =
            Kind::ALL.map(|kind| (kind, self.of(kind).to_vec())).into();
        for (place, rule) in PREDEFINED.iter().enumerate() {
            if !rule.is_there(body_mentions) {
                continue;
            }
            let shown = self.shown(place, user_id);
            let rules = all.entry(rule.kind).or_default();
            match place {
                // The master rule comes before the user's own.
                0 => rules.insert(0, shown),
                _ => rules.push(shown),
            }
        }
        all
    }

    /// One rule as clients see it.
    pub fn get(
        &self,
        kind: Kind,
        id: &str,
        user_id: &UserId,
        body_mentions: BodyMentions,
    ) -> Option<Rule> {
        let own = self.of(kind).iter().find(|rule| rule.rule_id == id);
        if let Some(own) = own {
            return Some(own.clone());
        }
        predefined::find(kind, id, body_mentions).map(|place| self.shown(place, user_id))
    }

    /// Adds a rule, or changes the one of its name. A new one is enabled and comes first of its kind; one that exists keeps its
    /// place and stays enabled or disabled. `before` and `after` name a rule next to which it goes; with both, `before` counts.
    pub fn set(
        &mut self,
        kind: Kind,
        rule: NewRule,
        after: Option<&str>,
        before: Option<&str>,
    ) -> Result<(), ChangeError> {
        let mut rule = checked(kind, rule)?;
        let others = self.own.values().flatten();
        let others = others.filter(|other| other.rule_id != rule.rule_id);
        if others.map(conditions).sum::<usize>() + conditions(&rule) > CONDITIONS {
            return Err(ChangeError::Invalid(
                "all push rules have at most 500 patterns and conditions",
            ));
        }
        let rules = self.own.entry(kind).or_default();
        let old = rules.iter().position(|old| old.rule_id == rule.rule_id);
        let place = |neighbor: &str| {
            if neighbor.starts_with('.') {
                return Err(ChangeError::Invalid(
                    "a rule has no place relative to a predefined one",
                ));
            }
            let others = rules.iter().filter(|other| other.rule_id != rule.rule_id);
            let mut others = others.map(|other| &*other.rule_id);
            let place = others.position(|other| other == neighbor);
            place.ok_or_else(|| ChangeError::UnknownNeighbor(neighbor.to_owned()))
        };
        let after = after.map(place).transpose()?.map(|place| place + 1);
        let before = before.map(place).transpose()?;
        let place = before.or(after).or(old).unwrap_or(0);
        if let Some(old) = old {
            rule.enabled = rules.remove(old).enabled;
        }
        rules.insert(place, rule);
        Ok(())
    }

    /// Removes a rule of the user's own.
    pub fn remove(
        &mut self,
        kind: Kind,
        id: &str,
        body_mentions: BodyMentions,
    ) -> Result<(), ChangeError> {
        if predefined::find(kind, id, body_mentions).is_some() {
            return Err(ChangeError::Invalid("a predefined rule cannot be removed"));
        }
        let rules = self.own.entry(kind).or_default();
        let place = rules.iter().position(|rule| rule.rule_id == id);
        rules.remove(place.ok_or(ChangeError::NotFound)?);
        Ok(())
    }

    pub fn enable(
        &mut self,
        kind: Kind,
        id: &str,
        enabled: bool,
        body_mentions: BodyMentions,
    ) -> Result<(), ChangeError> {
        self.change(kind, id, body_mentions, |target| match target {
            Target::Own(rule) => rule.enabled = enabled,
            Target::Predefined(change, usual) => {
                change.enabled = (enabled != usual.enabled).then_some(enabled);
            }
        })
    }

    pub fn set_actions(
        &mut self,
        kind: Kind,
        id: &str,
        actions: Vec<Value>,
        body_mentions: BodyMentions,
    ) -> Result<(), ChangeError> {
        check_actions(&actions)?;
        self.change(kind, id, body_mentions, |target| match target {
            Target::Own(rule) => rule.actions = actions,
            Target::Predefined(change, usual) => {
                change.actions = (*actions != *usual.outcome.actions).then_some(actions);
            }
        })
    }

    /// The rules, ready to be asked about events.
    pub fn ruleset(&self, body_mentions: BodyMentions) -> Ruleset {
        let is_enabled = |rule: &predefined::Predefined| {
            let change = self.predefined.get(rule.id());
            let enabled = change.and_then(|change| change.enabled);
            rule.is_there(body_mentions) && enabled.unwrap_or(rule.enabled)
        };
        let mut changed = Vec::new();
        for (place, rule) in PREDEFINED.iter().enumerate() {
            let change = self.predefined.get(rule.id());
            if let Some(actions) = change.and_then(|change| change.actions.as_ref()) {
                changed.push((place, Outcome::of(actions)));
            }
        }
        Ruleset::new(|kind| self.of(kind), bits(is_enabled), changed)
    }

    fn of(&self, kind: Kind) -> &[Rule] {
        self.own.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// A predefined rule with what the user has changed of it.
    fn shown(&self, place: usize, user_id: &UserId) -> Rule {
        let usual = &PREDEFINED[place];
        let mut rule = usual.rule_of(user_id);
        if let Some(change) = self.predefined.get(usual.id()) {
            rule.enabled = change.enabled.unwrap_or(rule.enabled);
            rule.actions = change.actions.clone().unwrap_or(rule.actions);
        }
        rule
    }

    fn change(
        &mut self,
        kind: Kind,
        id: &str,
        body_mentions: BodyMentions,
        change: impl FnOnce(Target<'_>),
    ) -> Result<(), ChangeError> {
        if let Some(place) = predefined::find(kind, id, body_mentions) {
            let mut new = self.predefined.remove(id).unwrap_or_default();
            change(Target::Predefined(&mut new, &PREDEFINED[place]));
            if new != Change::default() {
                self.predefined.insert(id.to_owned(), new);
            }
            return Ok(());
        }
        let rules = self.own.entry(kind).or_default();
        let rule = rules.iter_mut().find(|rule| rule.rule_id == id);
        change(Target::Own(rule.ok_or(ChangeError::NotFound)?));
        Ok(())
    }
}

/// What a change is made to.
enum Target<'a> {
    Own(&'a mut Rule),
    Predefined(&'a mut Change, &'a predefined::Predefined),
}

/// The rule, if it is one.
/// Bytes of a pattern.
const PATTERN_BYTES: usize = 1024;
/// Patterns and conditions of all rules of a user: each may be compared with every event.
const CONDITIONS: usize = 500;

fn checked(kind: Kind, rule: NewRule) -> Result<Rule, ChangeError> {
    check_id(kind, &rule.rule_id)?;
    check_actions(&rule.actions)?;
    let patterns = rule.conditions.iter().flatten();
    let patterns =
        patterns.filter_map(|condition| condition.get("pattern").and_then(Value::as_str));
    if patterns
        .chain(rule.pattern.as_deref())
        .any(|pattern| pattern.len() > PATTERN_BYTES)
    {
        return Err(ChangeError::Invalid("a pattern has at most 1,024 bytes"));
    }
    let has_conditions = matches!(kind, Kind::Override | Kind::Underride);
    let conditions = rule.conditions.filter(|_| has_conditions);
    let has_kind = |condition: &Value| condition.get("kind").is_some_and(Value::is_string);
    if !conditions.iter().flatten().all(has_kind) {
        return Err(ChangeError::Invalid("every condition must have a `kind`"));
    }
    let pattern = match kind {
        Kind::Content => Some(rule.pattern.ok_or(ChangeError::Missing("pattern"))?),
        Kind::Override | Kind::Room | Kind::Sender | Kind::Underride => None,
    };
    Ok(Rule {
        rule_id: rule.rule_id,
        default: false,
        enabled: true,
        conditions: conditions.or_else(|| has_conditions.then(Vec::new)),
        pattern,
        actions: rule.actions,
    })
}

/// The patterns and conditions of a rule.
fn conditions(rule: &Rule) -> usize {
    rule.conditions.as_ref().map_or(0, Vec::len) + usize::from(rule.pattern.is_some())
}

fn check_id(kind: Kind, id: &str) -> Result<(), ChangeError> {
    let reason = match kind {
        _ if id.starts_with('.') => "only predefined rules begin with a dot",
        Kind::Room if RoomId::parse(id).is_err() => "a room rule's id must be a room id",
        Kind::Sender if UserId::parse(id).is_err() => "a sender rule's id must be a user id",
        Kind::Room | Kind::Sender => return Ok(()),
        _ if id.is_empty() => "the rule has no id",
        _ if id.contains(['/', '\\']) => "a rule's id must not contain slashes",
        _ => return Ok(()),
    };
    Err(ChangeError::Invalid(reason))
}

fn check_actions(actions: &[Value]) -> Result<(), ChangeError> {
    let is_action = |action: &Value| action.is_string() || action.is_object();
    if actions.iter().all(is_action) {
        return Ok(());
    }
    Err(ChangeError::Invalid(
        "an action must be a string or an object",
    ))
}

#[cfg(test)]
mod tests;
