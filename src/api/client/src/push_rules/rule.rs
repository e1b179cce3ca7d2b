//! `GET`, `PUT` and `DELETE /pushrules/global/{kind}/{ruleId}`: client-server API, "Push Rules".

use edge::{ApiError, Call, Json, State, User};
use ruma::{
    api::client::push::{delete_pushrule, get_pushrule, set_pushrule},
    push::{AnyPushRule, RuleKind},
};
use users::{PushRuleChange, Users};

use crate::push_rules::{not_found, refuse};

pub(crate) async fn get(
    State(users): State<Users>,
    call: Call<get_pushrule::v3::Request>,
) -> Result<Json<serde_json::Value>, ApiError> {
    let rule = require(
        &users,
        &call.caller,
        call.request.kind,
        &call.request.rule_id,
    )
    .await?;
    let rule = match rule {
        AnyPushRule::Override(rule) | AnyPushRule::Underride(rule) => serde_json::to_value(rule),
        AnyPushRule::Content(rule) => serde_json::to_value(rule),
        AnyPushRule::Room(rule) => serde_json::to_value(rule),
        AnyPushRule::Sender(rule) => serde_json::to_value(rule),
        _ => return Err(not_found()),
    };
    Ok(Json(rule.map_err(ApiError::internal)?))
}

pub(crate) async fn set(
    State(users): State<Users>,
    call: Call<set_pushrule::v3::Request>,
) -> Result<set_pushrule::v3::Response, ApiError> {
    let set_pushrule::v3::Request {
        rule,
        before,
        after,
        ..
    } = call.request;
    let change = PushRuleChange::Set {
        rule,
        before,
        after,
    };
    apply(&users, &call.caller, change).await?;
    Ok(set_pushrule::v3::Response::new())
}

pub(crate) async fn delete(
    State(users): State<Users>,
    call: Call<delete_pushrule::v3::Request>,
) -> Result<delete_pushrule::v3::Response, ApiError> {
    let change = PushRuleChange::Remove {
        kind: call.request.kind,
        id: call.request.rule_id,
    };
    apply(&users, &call.caller, change).await?;
    Ok(delete_pushrule::v3::Response::new())
}

/// One rule of the caller's, or 404.
pub(super) async fn require(
    users: &Users,
    caller: &User,
    kind: RuleKind,
    id: &str,
) -> Result<AnyPushRule, ApiError> {
    let db = users.snapshot().await?;
    let rules = users
        .push_rules(&db, caller.number, &caller.user_id)
        .await?;
    rules
        .get(kind, id)
        .map(ruma::push::AnyPushRuleRef::to_owned)
        .ok_or_else(not_found)
}

pub(super) async fn apply(
    users: &Users,
    caller: &User,
    change: PushRuleChange,
) -> Result<(), ApiError> {
    users
        .change_push_rules(caller.number, &caller.user_id, change)
        .await
        .map_err(refuse)
}
