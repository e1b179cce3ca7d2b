//! Push rules: `m.push_rules`, client-server API, "Push Rules". Stored, as account data, only once the user has changed one;
//! until then everybody has the predefined ones.

use database::{Read, StoreError, Txn, UserNumber};
use protocol::push::{BodyMentions, server_default};
use ruma::{
    UserId,
    push::{
        Action, AnyPushRuleRef, InsertPushRuleError, NewPushRule, RemovePushRuleError, RuleKind,
        RuleNotFoundError, Ruleset,
    },
};
use serde_json::{Map, Value};

use crate::{account_data, users::Users};

/// The event type of push rules.
pub const PUSH_RULES: &str = "m.push_rules";

/// All kinds; clients count on each, also on the empty ones.
const KINDS: [&str; 5] = ["override", "content", "room", "sender", "underride"];

/// A user's push rules with all rules that they wrote; further ones are refused.
const RULES_BYTES: usize = 256 * 1024;

/// A change of one push rule.
#[derive(Clone, Debug)]
pub enum PushRuleChange {
    Set {
        rule: NewPushRule,
        after: Option<String>,
        before: Option<String>,
    },
    Remove {
        kind: RuleKind,
        id: String,
    },
    Enable {
        kind: RuleKind,
        id: String,
        enabled: bool,
    },
    SetActions {
        kind: RuleKind,
        id: String,
        actions: Vec<Action>,
    },
}

/// Why the push rules stay as they were.
#[derive(Debug, thiserror::Error)]
pub enum PushRuleError {
    #[error("there is no such push rule")]
    NotFound,
    #[error("{0}")]
    Invalid(String),
    #[error("all push rules of a user have at most {RULES_BYTES} bytes")]
    TooLarge,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Users {
    /// The push rules of a user as they are now.
    pub async fn push_rules(
        &self,
        db: &impl Read,
        user: UserNumber,
        user_id: &UserId,
    ) -> Result<Ruleset, StoreError> {
        let predefined = predefined(user_id);
        let Some(content) = account_data::get(db, user, None, PUSH_RULES).await? else {
            return Ok(predefined);
        };
        let mut rules = parse(&content)?;
        // Rules that became predefined after these were stored.
        rules.update_with_server_default(predefined);
        Ok(rules)
    }

    /// The same as a JSON object of all kinds, as `GET /pushrules/global/` shows it.
    pub async fn push_rules_json(
        &self,
        db: &impl Read,
        user: UserNumber,
        user_id: &UserId,
    ) -> Result<Value, StoreError> {
        Ok(all_kinds(&self.push_rules(db, user, user_id).await?))
    }

    /// Changes one push rule.
    pub async fn change_push_rules(
        &self,
        user: UserNumber,
        user_id: &UserId,
        change: PushRuleChange,
    ) -> Result<(), PushRuleError> {
        let change = &change;
        let body = move |txn: Txn| async move {
            let mut rules = self.push_rules(&txn, user, user_id).await?;
            apply(&mut rules, change.clone())?;
            let content = content(&rules);
            if content.len() > RULES_BYTES {
                return Err(PushRuleError::TooLarge);
            }
            Ok(account_data::put(&txn, user, None, PUSH_RULES, &content).await?)
        };
        self.0.store.transact(body).await?;
        Ok(())
    }
}

/// The account data of a user who has changed no rule.
pub(crate) fn predefined_json(user_id: &UserId) -> String {
    content(&predefined(user_id))
}

/// As the spec has them since version 1.17: names in a body are no mentions.
fn predefined(user_id: &UserId) -> Ruleset {
    server_default(user_id, BodyMentions::Ignored)
}

fn apply(rules: &mut Ruleset, change: PushRuleChange) -> Result<(), PushRuleError> {
    match change {
        PushRuleChange::Set {
            rule,
            after,
            before,
        } => set(rules, rule, after.as_deref(), before.as_deref()),
        PushRuleChange::Remove { kind, id } => Ok(rules.remove(kind, id)?),
        PushRuleChange::Enable { kind, id, enabled } => Ok(rules.set_enabled(kind, id, enabled)?),
        PushRuleChange::SetActions { kind, id, actions } => {
            Ok(rules.set_actions(kind, id, actions)?)
        }
    }
}

/// A rule that moves is taken out first: ruma cannot move one towards the end of its kind. It stays disabled if it was.
fn set(
    rules: &mut Ruleset,
    rule: NewPushRule,
    after: Option<&str>,
    before: Option<&str>,
) -> Result<(), PushRuleError> {
    let (kind, id) = (rule.kind(), rule.rule_id().to_owned());
    let is_moved = after.is_some() || before.is_some();
    let was_enabled = rules.get(kind.clone(), &id).map(AnyPushRuleRef::enabled);
    if is_moved && was_enabled.is_some() {
        rules.remove(kind.clone(), &id)?;
    }
    rules.insert(rule, after, before)?;
    if was_enabled == Some(false) {
        rules.set_enabled(kind, &id, false)?;
    }
    Ok(())
}

fn all_kinds(rules: &Ruleset) -> Value {
    let mut kinds = match serde_json::to_value(rules) {
        Ok(Value::Object(kinds)) => kinds,
        _ => Map::new(),
    };
    for kind in KINDS {
        kinds
            .entry(kind)
            .or_insert_with(|| Value::Array(Vec::new()));
    }
    Value::Object(kinds)
}

fn content(rules: &Ruleset) -> String {
    Value::from(Map::from_iter([("global".to_owned(), all_kinds(rules))])).to_string()
}

fn parse(content: &str) -> Result<Ruleset, StoreError> {
    let corrupt = |_| StoreError::Corrupt("push rules");
    let mut content: Map<String, Value> = serde_json::from_str(content).map_err(corrupt)?;
    let global = content.remove("global").unwrap_or_default();
    serde_json::from_value(global).map_err(corrupt)
}

impl From<InsertPushRuleError> for PushRuleError {
    fn from(error: InsertPushRuleError) -> Self {
        match error {
            InsertPushRuleError::UnknownRuleId => Self::NotFound,
            other => Self::Invalid(other.to_string()),
        }
    }
}

impl From<RemovePushRuleError> for PushRuleError {
    fn from(error: RemovePushRuleError) -> Self {
        match error {
            RemovePushRuleError::NotFound => Self::NotFound,
            other => Self::Invalid(other.to_string()),
        }
    }
}

impl From<RuleNotFoundError> for PushRuleError {
    fn from(_: RuleNotFoundError) -> Self {
        Self::NotFound
    }
}
