//! `GET /pushrules/`, `GET /pushrules/global/`: client-server API, "Push Rules".

use std::collections::BTreeMap;

use edge::{ApiError, Call, Json, RawJson, State};
use protocol::push::{Kind, Rule};
use ruma::api::client::push::{get_pushrules_all, get_pushrules_global_scope};
use users::Users;

pub(super) async fn all(
    State(users): State<Users>,
    call: Call<get_pushrules_all::v3::Request>,
) -> Result<RawJson, ApiError> {
    let db = users.snapshot().await?;
    let caller = &call.caller;
    let rules = users
        .push_rules_content(&db, caller.number, &caller.user_id)
        .await?;
    Ok(RawJson(rules.into_bytes()))
}

pub(super) async fn global(
    State(users): State<Users>,
    call: Call<get_pushrules_global_scope::v3::Request>,
) -> Result<Json<BTreeMap<Kind, Vec<Rule>>>, ApiError> {
    let db = users.snapshot().await?;
    let caller = &call.caller;
    let rules = users
        .all_push_rules(&db, caller.number, &caller.user_id)
        .await?;
    Ok(Json(rules))
}
