//! `GET` and `PUT /pushrules/global/{kind}/{ruleId}/enabled`: client-server API, "Push Rules".

use edge::{ApiError, Call, State};
use ruma::api::client::push::{get_pushrule_enabled, set_pushrule_enabled};
use users::{PushRuleChange, Users};

use crate::push_rules::rule::{apply, require};

pub(crate) async fn get_enabled(
    State(users): State<Users>,
    call: Call<get_pushrule_enabled::v3::Request>,
) -> Result<get_pushrule_enabled::v3::Response, ApiError> {
    let rule = require(
        &users,
        &call.caller,
        call.request.kind,
        &call.request.rule_id,
    )
    .await?;
    Ok(get_pushrule_enabled::v3::Response::new(
        rule.as_ref().enabled(),
    ))
}

pub(crate) async fn set_enabled(
    State(users): State<Users>,
    call: Call<set_pushrule_enabled::v3::Request>,
) -> Result<set_pushrule_enabled::v3::Response, ApiError> {
    let set_pushrule_enabled::v3::Request {
        kind,
        rule_id: id,
        enabled,
        ..
    } = call.request;
    apply(
        &users,
        &call.caller,
        PushRuleChange::Enable { kind, id, enabled },
    )
    .await?;
    Ok(set_pushrule_enabled::v3::Response::new())
}
