//! What a request to another server may take.

use std::time::Duration;

use crate::client::Limits;

/// How large an answer may be, and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerKind {
    /// Keys, versions, profiles, directory look-ups, acknowledgements.
    Small,
    /// Events, membership templates, device lists, public rooms.
    Usual,
    /// The state of a room, which the other server may have to compute first.
    State,
}

/// Whether a server that did not answer lately is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Not before its time.
    Background,
    /// Somebody waits for it.
    Now,
}

impl AnswerKind {
    pub(super) fn limits(self) -> Limits {
        let (head, whole, bytes) = match self {
            Self::Small => (Duration::from_secs(30), Duration::from_mins(1), 1 << 20),
            Self::Usual => (Duration::from_mins(1), Duration::from_mins(2), 16 << 20),
            Self::State => (Duration::from_mins(5), Duration::from_mins(10), 256 << 20),
        };
        Limits {
            head,
            stall: Duration::from_secs(30),
            whole,
            bytes,
        }
    }
}
