//! Push rules (client-server API, "Push notifications"): which events notify a user, and which of those stand out.
//!
//! The rulesets are ruma's types. Their evaluation is here: an event is parsed once for all of its readers, patterns are
//! matched without regular expressions, and what the predefined rules say is found once for everyone whom an event does not
//! name ([`Predefined`]).

mod event;
mod glob;
mod predefined;
mod rules;

pub use self::{
    event::PushEvent,
    predefined::{BodyMentions, Predefined, server_default},
    rules::{Reader, RoomContext, evaluate, matching_rule},
};

/// What an event means for one user's unread counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub notify: bool,
    /// Only where it also notifies.
    pub highlight: bool,
}
