//! `GET` and `PUT /pushrules/global/{kind}/{ruleId}/actions`: client-server API, "Push Rules".

use edge::{ApiError, Call, State};
use ruma::api::client::push::{get_pushrule_actions, set_pushrule_actions};
use users::{PushRuleChange, Users};

use crate::push_rules::rule::{apply, require};

pub(crate) async fn get_actions(
    State(users): State<Users>,
    call: Call<get_pushrule_actions::v3::Request>,
) -> Result<get_pushrule_actions::v3::Response, ApiError> {
    let rule = require(
        &users,
        &call.caller,
        call.request.kind,
        &call.request.rule_id,
    )
    .await?;
    Ok(get_pushrule_actions::v3::Response::new(
        rule.as_ref().actions().to_vec(),
    ))
}

pub(crate) async fn set_actions(
    State(users): State<Users>,
    call: Call<set_pushrule_actions::v3::Request>,
) -> Result<set_pushrule_actions::v3::Response, ApiError> {
    let set_pushrule_actions::v3::Request {
        kind,
        rule_id: id,
        actions,
        ..
    } = call.request;
    apply(
        &users,
        &call.caller,
        PushRuleChange::SetActions { kind, id, actions },
    )
    .await?;
    Ok(set_pushrule_actions::v3::Response::new())
}
