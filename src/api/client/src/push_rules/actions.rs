//! `GET` and `PUT /pushrules/global/{kind}/{ruleId}/actions`: client-server API, "Push Rules".

use edge::{ApiError, Call, Empty, Json, State, own_request};
use ruma::{
    api::{
        auth_scheme::AccessToken,
        client::push::{get_pushrule_actions, set_pushrule_actions},
    },
    metadata,
    push::RuleKind,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use users::{PushRuleChange, Users};

use crate::push_rules::{apply, known, require};

#[derive(Deserialize, Serialize)]
pub(super) struct Actions {
    actions: Vec<Value>,
}

/// Own request type: actions are kept as they are sent, and ruma normalizes them.
pub(crate) struct SetActions {
    kind: RuleKind,
    id: String,
    body: Actions,
}

metadata! {
    @for SetActions,
    method: PUT,
    rate_limited: true,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/pushrules/global/{kind}/{rule_id}/actions",
        1.1 => "/_matrix/client/v3/pushrules/global/{kind}/{rule_id}/actions",
    }
}

own_request!(SetActions => set_pushrule_actions::v3::Response, |input| {
    let (kind, id) = input.path()?;
    Ok(SetActions {
        kind,
        id,
        body: input.json()?,
    })
});

pub(super) async fn get_actions(
    State(users): State<Users>,
    call: Call<get_pushrule_actions::v3::Request>,
) -> Result<Json<Actions>, ApiError> {
    let request = &call.request;
    let rule = require(&users, &call.caller, &request.kind, &request.rule_id).await?;
    Ok(Json(Actions {
        actions: rule.actions,
    }))
}

pub(super) async fn set_actions(
    State(users): State<Users>,
    call: Call<SetActions>,
) -> Result<Empty, ApiError> {
    let change = PushRuleChange::SetActions {
        kind: known(&call.request.kind)?,
        id: call.request.id,
        actions: call.request.body.actions,
    };
    apply(&users, &call.caller, change).await?;
    Ok(Empty)
}
