//! Whose counts are asked for, with their rules: made once for an answer about many rooms.

use std::{collections::HashSet, sync::Arc};

use database::{Read, Snapshot, Stamp, StoreError, UserNumber};
use protocol::push::{RoomContext, Verdict};
use rooms::Event;
use ruma::{OwnedUserId, UserId, push::Ruleset};
use users::{Users, account_data};

use crate::meaning::Meaning;

/// A user and what they want to be notified of.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(crate) user: UserNumber,
    pub(crate) user_id: OwnedUserId,
    /// `None` for who changed nothing: the predefined rules.
    rules: Option<Arc<Ruleset>>,
    /// Whose events count for nothing.
    ignored: Arc<HashSet<OwnedUserId>>,
}

/// Rules as they were read.
#[derive(Clone, Debug)]
pub(crate) struct KnownRules {
    pub(crate) read_at: Stamp,
    rules: Option<Arc<Ruleset>>,
}

impl KnownRules {
    pub(crate) async fn read(
        users: &Users,
        db: &Snapshot,
        user: UserNumber,
        user_id: &UserId,
    ) -> Result<Self, StoreError> {
        let own = account_data::get(db, user, None, account_data::PUSH_RULES).await?;
        let rules = match own {
            Some(_) => Some(Arc::new(users.push_rules(db, user, user_id).await?)),
            None => None,
        };
        Ok(Self {
            read_at: db.stamp(),
            rules,
        })
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
    /// What the event means for this user.
    pub(crate) fn verdict(
        &self,
        event: &Event,
        meaning: &Meaning,
        room: &RoomContext<'_>,
    ) -> Verdict {
        let is_silent = event.sender_number == self.user
            || event.redacted_because.is_some()
            || self.ignored.contains(&event.sender);
        if is_silent {
            return Verdict::default();
        }
        match &self.rules {
            None => meaning.by_predefined_rules(event, room, &self.user_id),
            Some(rules) => meaning.by_own_rules(event, rules, room, &self.user_id),
        }
    }
}
