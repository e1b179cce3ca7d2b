//! `GET /pushrules/`, `GET /pushrules/global/`: client-server API, "Push Rules".

use edge::{ApiError, Call, Json, State};
use ruma::api::client::push::{get_pushrules_all, get_pushrules_global_scope};
use serde_json::{Value, json};
use users::Users;

/// As plain JSON, because ruma leaves out kinds without rules, and clients count on each.
pub(crate) async fn all(
    State(users): State<Users>,
    call: Call<get_pushrules_all::v3::Request>,
) -> Result<Json<Value>, ApiError> {
    let db = users.snapshot().await?;
    let caller = &call.caller;
    let rules = users
        .push_rules_json(&db, caller.number, &caller.user_id)
        .await?;
    Ok(Json(json!({ "global": rules })))
}

pub(crate) async fn global(
    State(users): State<Users>,
    call: Call<get_pushrules_global_scope::v3::Request>,
) -> Result<Json<Value>, ApiError> {
    let db = users.snapshot().await?;
    let caller = &call.caller;
    Ok(Json(
        users
            .push_rules_json(&db, caller.number, &caller.user_id)
            .await?,
    ))
}
