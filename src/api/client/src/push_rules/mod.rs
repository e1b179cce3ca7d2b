//! Client-server API, "Push Notifications": push rules, and what they notified of.

mod actions;
mod all;
mod enabled;
mod notifications;
mod rule;

use edge::{ApiError, Routes, User};
use http::StatusCode;
use protocol::push::{ChangeError, Kind, Rule};
use ruma::push::RuleKind;
use users::{PushRuleChange, PushRuleError, Users};

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    let routes = routes.add(all::all).add(all::global);
    let routes = routes.add(rule::get).add(rule::set).add(rule::delete);
    let routes = routes.add(enabled::get_enabled).add(enabled::set_enabled);
    let routes = routes.add(actions::get_actions).add(actions::set_actions);
    routes.add(notifications::notifications)
}

/// There are no rules of kinds that nobody knows.
fn known(kind: &RuleKind) -> Result<Kind, ApiError> {
    Kind::parse(kind.as_str()).ok_or_else(not_found)
}

/// One rule of the caller's, or 404.
async fn require(
    users: &Users,
    caller: &User,
    kind: &RuleKind,
    id: &str,
) -> Result<Rule, ApiError> {
    let db = users.snapshot().await?;
    let rule = users
        .push_rule(&db, caller.number, &caller.user_id, known(kind)?, id)
        .await?;
    rule.ok_or_else(not_found)
}

async fn apply(users: &Users, caller: &User, change: PushRuleChange) -> Result<(), ApiError> {
    users
        .change_push_rules(caller.number, change)
        .await
        .map_err(refuse)
}

fn not_found() -> ApiError {
    ApiError::not_found(ChangeError::NotFound)
}

fn refuse(error: PushRuleError) -> ApiError {
    let bad_request = StatusCode::BAD_REQUEST;
    match error {
        PushRuleError::Change(ChangeError::NotFound) => not_found(),
        PushRuleError::Change(error @ ChangeError::UnknownNeighbor(_)) => {
            ApiError::new(bad_request, "M_UNKNOWN", error)
        }
        PushRuleError::Change(error @ ChangeError::Missing(_)) => ApiError::missing_param(error),
        PushRuleError::Change(error @ ChangeError::Invalid(_)) => ApiError::invalid_param(error),
        PushRuleError::TooLarge => ApiError::user_limit_exceeded(error),
        PushRuleError::Store(error) => error.into(),
    }
}
