//! `GET /profile/{userId}`: client-server API, "Profiles".

use edge::{ApiError, Call, RawJson, State};
use ruma::api::client::profile::get_profile::v3::Request;
use users::Users;

/// Users of other servers are unknown as long as there is no federation.
pub(crate) async fn whole(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let db = users.snapshot().await?;
    let user = users.find_active(&db, &call.request.user_id).await?;
    let user = user.ok_or_else(|| ApiError::not_found("No such user"))?;
    let profile = users.profile(&db, user).await?;
    Ok(RawJson(profile.to_json().into_bytes()))
}
