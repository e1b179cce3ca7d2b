//! `GET` and `PUT /pushrules/global/{kind}/{ruleId}/actions`: client-server API, "Push Rules".

use edge::{ApiError, Call, Empty, Json, State};
use http::Request as HttpRequest;
use ruma::{
    api::{
        IncomingRequest,
        auth_scheme::AccessToken,
        client::push::{get_pushrule_actions, set_pushrule_actions},
        error::{DeserializationError, Error},
    },
    metadata,
    push::RuleKind,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use users::{PushRuleChange, Users};

use crate::{
    path::path,
    push_rules::{apply, known, require},
};

#[derive(Deserialize, Serialize)]
pub(super) struct Actions {
    actions: Vec<Value>,
}

/// Ours, because actions are kept as they are sent: ruma writes them in its own way.
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

impl IncomingRequest for SetActions {
    type EndpointError = Error;
    type OutgoingResponse = set_pushrule_actions::v3::Response;

    fn try_from_http_request_inner(
        request: HttpRequest<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        let (kind, id) = path(arguments)?;
        Ok(Self {
            kind,
            id,
            body: serde_json::from_slice(request.body())?,
        })
    }
}

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
