//! `GET /user/{userId}/account_data/{type}`: client-server API, "Client Config".

use edge::{ApiError, Call, RawJson, State, own_request};
use ruma::{
    OwnedUserId,
    api::{
        auth_scheme::AccessToken, client::config::get_global_account_data::v3::Response, metadata,
    },
};
use serde::Deserialize;
use users::{PUSH_RULES, Users, account_data};

use crate::account_data::{not_set, require_own};

/// Own request type: the type must stay as it is in the path, and ruma replaces renamed types.
#[derive(Deserialize)]
pub(crate) struct Request {
    user_id: OwnedUserId,
    kind: String,
}

metadata! {
    @for Request,
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/user/{user_id}/account_data/{event_type}",
        1.1 => "/_matrix/client/v3/user/{user_id}/account_data/{event_type}",
    }
}

own_request!(Request => Response, |input| input.path());

pub(crate) async fn get(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let Request { user_id, kind } = call.request;
    require_own(&call.caller, &user_id)?;
    let db = users.snapshot().await?;
    if kind == PUSH_RULES {
        let rules = users
            .push_rules_content(&db, call.caller.number, &user_id)
            .await?;
        return Ok(RawJson(rules.into_bytes()));
    }
    let content = account_data::get(&db, call.caller.number, None, &kind).await?;
    Ok(RawJson(content.ok_or_else(not_set)?.into_bytes()))
}
