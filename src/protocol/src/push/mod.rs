//! Push rules (client-server API, "Push notifications"): which events notify a user, and which of those stand out.
//!
//! * [`OwnRules`]: what a user has made of the predefined rules, as JSON says it; every action and condition is kept as it came.
//! * [`Ruleset`]: the same, ready to be asked. An event is parsed once for all of its readers, patterns are matched without
//!   regular expressions, and which predefined rules hold is found once for everyone ([`Marks`]).

mod conditions;
mod event;
mod glob;
mod marks;
mod own;
mod predefined;
mod rule;
mod ruleset;

pub use self::{
    conditions::{Reader, RoomContext},
    event::PushEvent,
    marks::{Marks, Stir},
    own::{ChangeError, NewRule, OwnRules},
    predefined::BodyMentions,
    rule::{Kind, Rule},
    ruleset::{Outcome, Ruleset},
};

/// What an event means for one user's unread counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub notify: bool,
    /// Only where it also notifies.
    pub highlight: bool,
}

#[cfg(test)]
mod tests;
