//! `GET` and `PUT /pushrules/global/{kind}/{ruleId}/enabled`: client-server API, "Push Rules".

use edge::{ApiError, Call, Empty, State};
use ruma::api::client::push::{get_pushrule_enabled, set_pushrule_enabled};
use users::{PushRuleChange, Users};

use crate::push_rules::{apply, known, require};

pub(super) async fn get_enabled(
    State(users): State<Users>,
    call: Call<get_pushrule_enabled::v3::Request>,
) -> Result<get_pushrule_enabled::v3::Response, ApiError> {
    let request = &call.request;
    let rule = require(&users, &call.caller, &request.kind, &request.rule_id).await?;
    Ok(get_pushrule_enabled::v3::Response::new(rule.enabled))
}

pub(super) async fn set_enabled(
    State(users): State<Users>,
    call: Call<set_pushrule_enabled::v3::Request>,
) -> Result<Empty, ApiError> {
    let change = PushRuleChange::Enable {
        kind: known(&call.request.kind)?,
        id: call.request.rule_id,
        enabled: call.request.enabled,
    };
    apply(&users, &call.caller, change).await?;
    Ok(Empty)
}
