//! Whose counts are asked for, with their rules: made once for an answer about many rooms.

use std::{collections::HashSet, sync::Arc};

use database::{Position, Read, Snapshot, Stamp, StoreError, UserNumber};
use protocol::push::{OwnRules, Ruleset};
use rooms_store::Event;
use ruma::OwnedUserId;
use users::Users;

/// A user and what they want to be notified of.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) user: UserNumber,
    pub(crate) user_id: OwnedUserId,
    rules: Arc<Rules>,
    /// Whose events count for nothing.
    ignored: Arc<HashSet<OwnedUserId>>,
}

/// The rules of a user, and those that they had before.
#[derive(Debug)]
pub(crate) struct Rules {
    now: Ruleset,
    /// Each with the position of the change that ended them, oldest first.
    earlier: Vec<(Position, Ruleset)>,
}

/// Rules as they were read.
#[derive(Clone, Debug)]
pub(crate) struct KnownRules {
    pub(crate) read_at: Stamp,
    rules: Arc<Rules>,
    /// Bytes that nobody else holds.
    pub(crate) weight: u64,
}

impl Rules {
    /// The rules of everybody who has changed none.
    pub(crate) fn usual(users: &Users) -> Arc<Self> {
        Arc::new(Self {
            now: OwnRules::default().ruleset(users.body_mentions()),
            earlier: Vec::new(),
        })
    }

    /// The rules that held when an event came.
    pub(crate) fn at(&self, position: Position) -> &Ruleset {
        let mut earlier = self.earlier.iter();
        let held = earlier.find(|(until, _)| position < *until);
        held.map_or(&self.now, |(_, rules)| rules)
    }

    fn weight(&self) -> usize {
        let earlier = self.earlier.iter().map(|(_, rules)| rules.weight());
        size_of::<Position>() * self.earlier.len() + self.now.weight() + earlier.sum::<usize>()
    }
}

impl KnownRules {
    pub(crate) async fn read(
        users: &Users,
        db: &Snapshot,
        user: UserNumber,
        usual: &Arc<Rules>,
    ) -> Result<Self, StoreError> {
        let read = users.push_rules(db, user).await?;
        let read_at = db.stamp();
        let Some(now) = read.now else {
            return Ok(Self {
                read_at,
                rules: usual.clone(),
                weight: 64,
            });
        };
        let body_mentions = users.body_mentions();
        let earlier = read.earlier.iter();
        let rules = Rules {
            now: now.ruleset(body_mentions),
            earlier: earlier
                .map(|(until, rules)| (*until, rules.ruleset(body_mentions)))
                .collect(),
        };
        Ok(Self {
            read_at,
            weight: 64 + rules.weight() as u64,
            rules: Arc::new(rules),
        })
    }

    /// How many earlier rules there are.
    pub(crate) fn earlier(&self) -> usize {
        self.rules.earlier.len()
    }

    pub(crate) fn reader(
        self,
        user: UserNumber,
        user_id: OwnedUserId,
        ignored: Arc<HashSet<OwnedUserId>>,
    ) -> Reader {
        Reader {
            user,
            user_id,
            rules: self.rules,
            ignored,
        }
    }
}

impl Reader {
    /// Whether the event means nothing to this user, whatever the rules say.
    pub(crate) fn is_deaf_to(&self, event: &Event) -> bool {
        !event.is_shown()
            || event.sender_number == self.user
            || event.redacted_because.is_some()
            || self.ignored.contains(&event.sender)
    }

    /// The rules that held for all events after a position, if those were always the same.
    pub(crate) fn rules_after(&self, position: Position) -> Option<&Ruleset> {
        let last_change = self.rules.earlier.last();
        let is_one = last_change.is_none_or(|(until, _)| position >= *until);
        is_one.then_some(&self.rules.now)
    }

    /// The rules that held when an event came.
    pub(crate) fn rules_at(&self, position: Position) -> &Ruleset {
        self.rules.at(position)
    }
}
