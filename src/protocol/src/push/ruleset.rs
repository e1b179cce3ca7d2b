//! Asking a user's rules about an event: the first enabled rule whose conditions all hold decides, in the order override,
//! content, room, sender, underride; within a kind, the user's own rules come before the predefined ones.

use std::sync::LazyLock;

use ruma::{RoomId, UserId};
use serde_json::Value;

use super::{
    Marks, PushEvent, Stir, Verdict,
    conditions::{Condition, Pattern, Reader, RoomContext, has_name},
    predefined::{Bits, PREDEFINED, Personal, bits},
    rule::{Kind, Rule},
};

/// What a rule does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// As they were sent.
    pub actions: Box<[Value]>,
    pub verdict: Verdict,
}

/// All rules of one user, ready to be asked.
#[derive(Debug)]
pub struct Ruleset {
    /// The user's own rules that are enabled, by kind.
    own: [Box<[Own]>; 5],
    /// The predefined rules that are enabled.
    enabled: Bits,
    /// Predefined rules with other actions than the usual ones, by their place.
    changed: Box<[(usize, Outcome)]>,
    asks_for_power: bool,
    asks_for_name: bool,
}

#[derive(Debug)]
struct Own {
    test: Test,
    outcome: Outcome,
}

#[derive(Debug)]
enum Test {
    All(Box<[Condition]>),
    Body(Pattern),
    Room(Box<str>),
    Sender(Box<str>),
}

/// The predefined rules of each kind.
static OF_KIND: LazyLock<[Bits; 5]> =
    LazyLock::new(|| Kind::ALL.map(|kind| bits(|rule| rule.kind == kind)));

/// The rule that looks for display names.
static DISPLAY_NAME: LazyLock<Bits> =
    LazyLock::new(|| bits(|rule| rule.personal == Some(Personal::DisplayName)));

/// The rules that hold only for whom an event names.
static NAMING: LazyLock<Bits> = LazyLock::new(|| {
    bits(|rule| matches!(rule.personal, Some(Personal::Invite | Personal::Mention)))
});

/// The place of `.m.rule.master`, which comes before everything.
const MASTER: usize = 0;

impl Outcome {
    pub(super) fn of(actions: &[Value]) -> Self {
        let notify = actions.iter().any(|action| *action == "notify");
        let highlight = notify && actions.iter().any(is_highlight);
        Self {
            actions: actions.into(),
            verdict: Verdict { notify, highlight },
        }
    }

    fn weight(&self) -> usize {
        self.actions.len() * 128
    }
}

fn is_highlight(action: &Value) -> bool {
    action
        .get("set_tweak")
        .is_some_and(|tweak| *tweak == "highlight")
        && action.get("value").is_none_or(|value| *value == true)
}

impl Ruleset {
    /// `own` gives the own rules of a kind in their order.
    pub(super) fn new<'a>(
        own: impl Fn(Kind) -> &'a [Rule],
        enabled: Bits,
        changed: Vec<(usize, Outcome)>,
    ) -> Self {
        let own = Kind::ALL.map(|kind| {
            let rules = own(kind).iter().filter(|rule| rule.enabled);
            rules.map(|rule| Own::new(kind, rule)).collect::<Box<[_]>>()
        });
        let ask = |wanted: fn(&Condition) -> bool| {
            let conditions = own.iter().flatten().filter_map(|rule| match &rule.test {
                Test::All(conditions) => Some(conditions.iter()),
                Test::Body(_) | Test::Room(_) | Test::Sender(_) => None,
            });
            conditions.flatten().any(wanted)
        };
        Self {
            asks_for_power: ask(|condition| matches!(condition, Condition::Permission(_))),
            asks_for_name: ask(|condition| matches!(condition, Condition::DisplayName)),
            own,
            enabled,
            changed: changed.into(),
        }
    }

    /// The outcome of the rule that decides; `None` if no rule matches. `event` is called only where a rule has to look into
    /// it. Nobody is to be asked about events of their own.
    pub fn outcome<'e>(
        &self,
        marks: &Marks,
        event: impl Fn() -> Option<&'e PushEvent>,
        room: &RoomContext<'_>,
        reader: &Reader<'_>,
    ) -> Option<&Outcome> {
        if self.enabled & 1 << MASTER != 0 {
            return Some(self.predefined_outcome(MASTER));
        }
        for (kind, own) in Kind::ALL.into_iter().zip(&self.own) {
            if kind != Kind::Content || marks.has_body() {
                let mut own = own.iter();
                let found = own
                    .find(|rule| event().is_some_and(|event| rule.test.holds(event, room, reader)));
                if let Some(found) = found {
                    return Some(&found.outcome);
                }
            }
            if let Some(place) = self.predefined(kind, marks, &event, reader) {
                return Some(self.predefined_outcome(place));
            }
        }
        None
    }

    /// The first predefined rule of a kind that matches.
    fn predefined<'e>(
        &self,
        kind: Kind,
        marks: &Marks,
        event: &impl Fn() -> Option<&'e PushEvent>,
        reader: &Reader<'_>,
    ) -> Option<usize> {
        let enabled = self.enabled & OF_KIND[kind as usize];
        let mut left = enabled & (marks.general | marks.possible);
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            let is_general = marks.general & 1 << place != 0;
            if is_general || is_meant(place, marks, event, reader) {
                return Some(place);
            }
            left &= left - 1;
        }
        None
    }

    fn predefined_outcome(&self, place: usize) -> &Outcome {
        let changed = self.changed.iter().find(|(changed, _)| *changed == place);
        changed.map_or(&PREDEFINED[place].outcome, |(_, outcome)| outcome)
    }

    /// Whether none of these events can notify this reader. May say no although it is so.
    pub fn is_deaf_to(&self, stir: &Stir, room_id: &RoomId, user_id: &UserId) -> bool {
        let may_match = |rule: &&Own| match &rule.test {
            Test::Body(_) => stir.has_body,
            Test::Room(id) => *room_id == **id,
            Test::All(_) | Test::Sender(_) => true,
        };
        let mut loud = self
            .own
            .iter()
            .flatten()
            .filter(|rule| rule.outcome.verdict.notify);
        if loud.any(|rule| may_match(&rule)) {
            return false;
        }
        let personal = if stir.may_name(user_id) {
            stir.possible
        } else {
            stir.possible & !*NAMING
        };
        let mut left = self.enabled & (stir.general | personal | 1 << MASTER);
        while left != 0 {
            let place = left.trailing_zeros() as usize;
            if self.predefined_outcome(place).verdict.notify {
                return false;
            }
            left &= left - 1;
        }
        true
    }

    /// Whether a rule may ask for the power levels of the room although the event itself gives no reason.
    pub fn asks_for_power(&self) -> bool {
        self.asks_for_power
    }

    /// Whether a rule may ask for the reader's display name in the room.
    pub fn asks_for_name(&self, marks: &Marks) -> bool {
        let asks = self.asks_for_name || self.enabled & marks.possible & *DISPLAY_NAME != 0;
        asks && marks.has_body()
    }

    /// Bytes in memory, about.
    pub fn weight(&self) -> usize {
        let own = self
            .own
            .iter()
            .flatten()
            .map(|rule| size_of::<Own>() + rule.outcome.weight() + rule.test.weight());
        let changed = self
            .changed
            .iter()
            .map(|(_, outcome)| size_of::<(usize, Outcome)>() + outcome.weight());
        size_of::<Self>() + own.sum::<usize>() + changed.sum::<usize>()
    }
}

/// Whether a rule that asks who is reading means this reader.
fn is_meant<'e>(
    place: usize,
    marks: &Marks,
    event: &impl Fn() -> Option<&'e PushEvent>,
    reader: &Reader<'_>,
) -> bool {
    match PREDEFINED[place].personal {
        Some(Personal::Invite) => marks.invites(reader.user_id),
        Some(Personal::Mention) => marks.mentions(reader.user_id),
        Some(Personal::DisplayName) => reader
            .display_name
            .zip(event())
            .is_some_and(|(name, event)| has_name(event, name)),
        Some(Personal::UserName) => event()
            .is_some_and(|event| Pattern::new(reader.user_id.localpart()).matches_body(event)),
        None => false,
    }
}

impl Own {
    fn new(kind: Kind, rule: &Rule) -> Self {
        let test = match kind {
            Kind::Override | Kind::Underride => {
                let conditions = rule.conditions.iter().flatten();
                Test::All(conditions.map(Condition::parse).collect())
            }
            Kind::Content => match &rule.pattern {
                Some(pattern) => Test::Body(Pattern::new(pattern)),
                None => Test::All(Box::new([Condition::Unknown])),
            },
            Kind::Room => Test::Room(rule.rule_id.as_str().into()),
            Kind::Sender => Test::Sender(rule.rule_id.as_str().into()),
        };
        Self {
            test,
            outcome: Outcome::of(&rule.actions),
        }
    }
}

impl Test {
    fn holds(&self, event: &PushEvent, room: &RoomContext<'_>, reader: &Reader<'_>) -> bool {
        match self {
            Self::All(conditions) => conditions
                .iter()
                .all(|condition| condition.holds(event, room, reader.display_name)),
            Self::Body(pattern) => pattern.matches_body(event),
            Self::Room(id) => event.text("room_id") == Some(id),
            Self::Sender(id) => event.sender() == &**id,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::All(conditions) => {
                let inside = conditions.iter().map(Condition::weight).sum::<usize>();
                inside + conditions.len() * size_of::<Condition>()
            }
            Self::Body(pattern) => pattern.weight(),
            Self::Room(id) | Self::Sender(id) => id.len(),
        }
    }
}
