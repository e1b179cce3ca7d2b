//! `GET /_matrix/federation/v1/query/profile`: server-server API, "Querying for information".

use edge::{ApiError, Call, RawJson, State};
use ruma::api::federation::query::get_profile_information::v1::Request;
use serde_json::Value;
use users::Users;

pub(super) async fn profile(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let db = users.snapshot().await?;
    if !users.is_local(&call.request.user_id) {
        return Err(ApiError::not_found("This is a user of another server"));
    }
    let user = users.find_active(&db, &call.request.user_id).await?;
    let user = user.ok_or_else(|| ApiError::not_found("No such user"))?;
    let profile = users.profile(&db, user).await?;
    let Some(field) = call.request.field else {
        return Ok(RawJson(profile.to_json().into_bytes()));
    };
    // A field that is not set is not an error here.
    let name = field.as_str();
    let json = match profile.field(name) {
        Some(value) => format!("{{{}:{value}}}", Value::from(name)),
        None => "{}".to_owned(),
    };
    Ok(RawJson(json.into_bytes()))
}
