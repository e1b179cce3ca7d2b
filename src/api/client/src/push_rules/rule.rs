//! `GET`, `PUT` and `DELETE /pushrules/global/{kind}/{ruleId}`: client-server API, "Push Rules".

use edge::{ApiError, Call, Empty, Json, State, own_request};
use protocol::push::{Kind, NewRule, Rule};
use ruma::{
    api::{
        auth_scheme::AccessToken,
        client::push::{delete_pushrule, get_pushrule, set_pushrule},
    },
    metadata,
};
use serde::Deserialize;
use serde_json::Value;
use users::{PushRuleChange, Users};

use crate::push_rules::{apply, known, require};

/// Own request type: actions and conditions are kept as they are sent, and ruma normalizes them.
pub(crate) struct SetRule {
    kind: String,
    id: String,
    place: Place,
    body: Body,
}

#[derive(Deserialize)]
struct Place {
    before: Option<String>,
    after: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    actions: Vec<Value>,
    conditions: Option<Vec<Value>>,
    pattern: Option<String>,
}

metadata! {
    @for SetRule,
    method: PUT,
    rate_limited: true,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/pushrules/global/{kind}/{rule_id}",
        1.1 => "/_matrix/client/v3/pushrules/global/{kind}/{rule_id}",
    }
}

own_request!(SetRule => set_pushrule::v3::Response, |input| {
    let (kind, id) = input.path()?;
    Ok(SetRule {
        kind,
        id,
        place: input.query()?,
        body: input.json()?,
    })
});

pub(super) async fn get(
    State(users): State<Users>,
    call: Call<get_pushrule::v3::Request>,
) -> Result<Json<Rule>, ApiError> {
    let request = &call.request;
    require(&users, &call.caller, &request.kind, &request.rule_id)
        .await
        .map(Json)
}

pub(super) async fn set(
    State(users): State<Users>,
    call: Call<SetRule>,
) -> Result<Empty, ApiError> {
    let SetRule {
        kind,
        id,
        place,
        body,
    } = call.request;
    let kind = Kind::parse(&kind)
        .ok_or_else(|| ApiError::invalid_param(format!("there are no rules of kind `{kind}`")))?;
    let rule = NewRule {
        rule_id: id,
        conditions: body.conditions,
        pattern: body.pattern,
        actions: body.actions,
    };
    let change = PushRuleChange::Set {
        kind,
        rule,
        before: place.before,
        after: place.after,
    };
    apply(&users, &call.caller, change).await?;
    Ok(Empty)
}

pub(super) async fn delete(
    State(users): State<Users>,
    call: Call<delete_pushrule::v3::Request>,
) -> Result<Empty, ApiError> {
    let change = PushRuleChange::Remove {
        kind: known(&call.request.kind)?,
        id: call.request.rule_id,
    };
    apply(&users, &call.caller, change).await?;
    Ok(Empty)
}
