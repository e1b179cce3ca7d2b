//! `GET /account/3pid`: client-server API, "Adding Account Administrative Contact Information". Nobody has any yet.

use edge::{ApiError, Call, Json};
use ruma::api::client::account::get_3pids::v3::Request;
use serde_json::{Value, json};

/// Ruma leaves an empty list out; clients want to see it.
pub(crate) async fn list_identifiers(_: Call<Request>) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "threepids": [] })))
}
