//! `GET`, `PUT` and `DELETE /pushrules/global/{kind}/{ruleId}`: client-server API, "Push Rules".

use edge::{ApiError, Call, Empty, Json, State};
use http::Request as HttpRequest;
use protocol::push::{Kind, NewRule, Rule};
use ruma::{
    api::{
        IncomingRequest,
        auth_scheme::AccessToken,
        client::push::{delete_pushrule, get_pushrule, set_pushrule},
        error::{DeserializationError, Error},
    },
    exports::serde_html_form,
    metadata,
};
use serde::Deserialize;
use serde_json::Value;
use users::{PushRuleChange, Users};

use crate::{
    path::path,
    push_rules::{apply, known, require},
};

/// Ours, because actions and conditions are kept as they are sent: ruma writes them in its own way.
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

impl IncomingRequest for SetRule {
    type EndpointError = Error;
    type OutgoingResponse = set_pushrule::v3::Response;

    fn try_from_http_request_inner(
        request: HttpRequest<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        let (kind, id) = path(arguments)?;
        Ok(Self {
            kind,
            id,
            place: serde_html_form::from_str(request.uri().query().unwrap_or_default())?,
            body: serde_json::from_slice(request.body())?,
        })
    }
}

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
