//! Unread counts, by thread.

use std::collections::BTreeMap;

use protocol::push::Verdict;
use serde::{Deserialize, Serialize};

/// The thread of all events that are in none.
pub(crate) const MAIN: &str = "main";

/// Unread events of which the rules say that they notify, and those of them that stand out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    pub notifications: u64,
    pub highlights: u64,
}

/// What a user has not read of a room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unread {
    /// Outside of all threads.
    pub main: Counts,
    /// By root event, where there is anything.
    pub threads: BTreeMap<String, Counts>,
}

impl Counts {
    pub(crate) fn add(&mut self, verdict: Verdict) {
        self.notifications += u64::from(verdict.notify);
        self.highlights += u64::from(verdict.highlight);
    }
}

impl Unread {
    /// For clients that do not know threads.
    pub fn total(&self) -> Counts {
        self.threads.values().fold(self.main, |sum, counts| Counts {
            notifications: sum.notifications + counts.notifications,
            highlights: sum.highlights + counts.highlights,
        })
    }
}
