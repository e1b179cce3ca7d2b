//! The states of presence, in the order of how present they are.

use serde::{Deserialize, Serialize};

/// `busy` is that of MSC3026.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum PresenceState {
    #[default]
    Offline,
    Unavailable,
    Online,
    Busy,
}

/// What a `/sync` says about its device (`set_presence`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SetPresence {
    #[default]
    Online,
    Unavailable,
    /// The sync leaves the user's presence alone.
    Offline,
}

impl PresenceState {
    /// The word of the spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Unavailable => "unavailable",
            Self::Online => "online",
            Self::Busy => "org.matrix.msc3026.busy",
        }
    }

    /// `None` for any other word.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "offline" => Self::Offline,
            "unavailable" => Self::Unavailable,
            "online" => Self::Online,
            "org.matrix.msc3026.busy" => Self::Busy,
            _ => return None,
        })
    }

    /// Whether the user counts as online in a room.
    pub fn is_online(self) -> bool {
        self != Self::Offline
    }
}
