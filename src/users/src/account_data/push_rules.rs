//! Push rules: `m.push_rules`, client-server API, "Push Rules". The stored account data contains
//! only the user's differences to the predefined rules; the full rules are composed for each
//! request.
//!
//! Unread counts need the rules that were in force when an event arrived. So the rules before a
//! change are kept, by the position of the change, until no count needs them
//! ([`Users::forget_push_rules`]) or there are too many.

use std::collections::BTreeMap;

use database::{Position, Read, StoreError, Txn, UserNumber};
use protocol::push::{BodyMentions, ChangeError, Kind, NewRule, OwnRules, Rule};
use ruma::UserId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    account_data,
    tables::{ACCOUNT_DATA, EARLIER_PUSH_RULES},
    users::Users,
};

/// The event type of push rules.
pub const PUSH_RULES: &str = "m.push_rules";

/// Bytes of a user's push rules. Further ones are refused.
const RULES_BYTES: usize = 96 * 1024;

/// The maximum number of a user's earlier rules, and of their bytes. Older events are evaluated
/// with the oldest of them.
const EARLIER: usize = 64;
const EARLIER_BYTES: usize = 1024 * 1024;

/// A change of one push rule.
#[derive(Clone, Debug)]
pub enum PushRuleChange {
    Set {
        kind: Kind,
        rule: NewRule,
        after: Option<String>,
        before: Option<String>,
    },
    Remove {
        kind: Kind,
        id: String,
    },
    Enable {
        kind: Kind,
        id: String,
        enabled: bool,
    },
    SetActions {
        kind: Kind,
        id: String,
        actions: Vec<Value>,
    },
}

/// Why push rules were not changed.
#[derive(Debug, thiserror::Error)]
pub enum PushRuleError {
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error("all push rules of a user have at most {RULES_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The current and earlier rules of a user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PushRules {
    /// `None` if the user has never changed one.
    pub now: Option<OwnRules>,
    /// Each with the position of the change that ended them, oldest first.
    pub earlier: Vec<(Position, OwnRules)>,
}

impl Users {
    /// Whether names in bodies are mentions: the setting `push.body_mentions`.
    pub fn body_mentions(&self) -> BodyMentions {
        self.0.config.body_mentions
    }

    /// The push rules of a user, now and before.
    pub async fn push_rules(
        &self,
        db: &impl Read,
        user: UserNumber,
    ) -> Result<PushRules, StoreError> {
        let now = stored(db, user).await?;
        let mut earlier = Vec::new();
        if now.is_some() {
            let rows = EARLIER_PUSH_RULES.under(user);
            for ((_, until), rules) in db.page(rows, usize::MAX).await? {
                earlier.push((until, parse(&rules)?));
            }
        }
        Ok(PushRules { now, earlier })
    }

    /// One rule as clients see it.
    pub async fn push_rule(
        &self,
        db: &impl Read,
        user: UserNumber,
        user_id: &UserId,
        kind: Kind,
        id: &str,
    ) -> Result<Option<Rule>, StoreError> {
        let rules = stored(db, user).await?.unwrap_or_default();
        Ok(rules.get(kind, id, user_id, self.body_mentions()))
    }

    /// All rules as clients see them, by kind.
    pub async fn all_push_rules(
        &self,
        db: &impl Read,
        user: UserNumber,
        user_id: &UserId,
    ) -> Result<BTreeMap<Kind, Vec<Rule>>, StoreError> {
        let rules = stored(db, user).await?.unwrap_or_default();
        Ok(rules.all(user_id, self.body_mentions()))
    }

    /// The content of `m.push_rules`.
    pub async fn push_rules_content(
        &self,
        db: &impl Read,
        user: UserNumber,
        user_id: &UserId,
    ) -> Result<String, StoreError> {
        let rules = self.all_push_rules(db, user, user_id).await?;
        Ok(json!({ "global": rules }).to_string())
    }

    /// Changes one push rule.
    pub async fn change_push_rules(
        &self,
        user: UserNumber,
        change: PushRuleChange,
    ) -> Result<(), PushRuleError> {
        let (change, body_mentions) = (&change, self.body_mentions());
        let body = move |txn: Txn| async move {
            let before = stored(&txn, user).await?.unwrap_or_default();
            let mut rules = before.clone();
            apply(&mut rules, change.clone(), body_mentions)?;
            let content = text(&rules);
            if content.len() > RULES_BYTES {
                return Err(PushRuleError::TooLarge);
            }
            if rules != before {
                drop_too_many(&txn, user).await?;
                let end = EARLIER_PUSH_RULES.end(user);
                txn.append(end, txn.slot(), &text(&before));
            }
            Ok(account_data::put(&txn, user, None, PUSH_RULES, &content).await?)
        };
        self.0.store.transact(body).await?;
        Ok(())
    }

    /// Deletes the rules that a change at or before this position replaced: all events that are
    /// still to be counted are later. Runs in the background.
    pub async fn forget_push_rules(
        &self,
        user: UserNumber,
        through: Position,
    ) -> Result<(), StoreError> {
        let forget = self.0.store.transact(|txn| async move {
            txn.clear(EARLIER_PUSH_RULES.under(user).through((user, through)));
            txn.may_wait();
            Ok(())
        });
        forget.await.map(|((), _)| ())
    }
}

async fn stored(db: &impl Read, user: UserNumber) -> Result<Option<OwnRules>, StoreError> {
    let row = db.get(ACCOUNT_DATA.at((user, PUSH_RULES))).await?;
    row.map(|row| parse(&row.value)).transpose()
}

/// Deletes the oldest rules if there are too many.
async fn drop_too_many(txn: &Txn, user: UserNumber) -> Result<(), StoreError> {
    let rows = EARLIER_PUSH_RULES.under(user).reversed();
    let mut bytes = 0;
    for (count, ((_, until), rules)) in txn.page(rows, EARLIER + 1).await?.into_iter().enumerate() {
        bytes += rules.len();
        if count + 1 >= EARLIER || bytes > EARLIER_BYTES {
            txn.clear(EARLIER_PUSH_RULES.under(user).through((user, until)));
            return Ok(());
        }
    }
    Ok(())
}

fn apply(
    rules: &mut OwnRules,
    change: PushRuleChange,
    body_mentions: BodyMentions,
) -> Result<(), ChangeError> {
    match change {
        PushRuleChange::Set {
            kind,
            rule,
            after,
            before,
        } => rules.set(kind, rule, after.as_deref(), before.as_deref()),
        PushRuleChange::Remove { kind, id } => rules.remove(kind, &id, body_mentions),
        PushRuleChange::Enable { kind, id, enabled } => {
            rules.enable(kind, &id, enabled, body_mentions)
        }
        PushRuleChange::SetActions { kind, id, actions } => {
            rules.set_actions(kind, &id, actions, body_mentions)
        }
    }
}

fn text(rules: &OwnRules) -> String {
    json!(rules).to_string()
}

fn parse(text: &str) -> Result<OwnRules, StoreError> {
    match serde_json::from_str(text) {
        Ok(Stored::Whole { global }) => Ok(OwnRules::of_all(global)),
        Ok(Stored::Own(rules)) => Ok(rules),
        Err(_) => Err(StoreError::Corrupt("push rules")),
    }
}

/// The row of a user's push rules.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored {
    /// An older format: all rules, including the predefined ones.
    Whole {
        global: BTreeMap<Kind, Vec<Rule>>,
    },
    Own(OwnRules),
}
