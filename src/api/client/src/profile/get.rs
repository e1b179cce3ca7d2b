//! `GET /profile/{userId}/{keyName}`: client-server API, "Profiles".

use edge::{ApiError, Call, RawJson, State};
use ruma::api::client::profile::get_profile_field::v3::Request;
use serde_json::Value;
use users::Users;

pub(crate) async fn get(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let db = users.snapshot().await?;
    let user = users.find_active(&db, &call.request.user_id).await?;
    let user = user.ok_or_else(|| ApiError::not_found("No such user"))?;
    let profile = users.profile(&db, user).await?;
    let name = call.request.field.as_str();
    let value = profile
        .field(name)
        .ok_or_else(|| ApiError::not_found("This profile has no such field"))?;
    Ok(RawJson(
        format!("{{{}:{value}}}", Value::from(name)).into_bytes(),
    ))
}
