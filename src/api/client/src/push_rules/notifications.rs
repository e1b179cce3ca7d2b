//! `GET /notifications`: client-server API, "Listing Notifications".

use edge::{ApiError, Call, RawJson, State};
use push::{NotificationsError, NotificationsRequest, Push, Wanted};
use ruma::api::client::push::get_notifications::v3::Request;

/// How many are told where the client does not say, and at most.
const USUAL: usize = 20;
const MOST: usize = 100;

pub(super) async fn notifications(
    State(push): State<Push>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let Request {
        from, limit, only, ..
    } = call.request;
    let from = from.map(|token| token.parse().map_err(ApiError::invalid_param));
    let limit = limit.map_or(USUAL, |limit| usize::try_from(limit).unwrap_or(MOST));
    let wanted = match only.as_deref() {
        Some("highlight") => Wanted::Highlights,
        Some(_) | None => Wanted::All,
    };
    let request = NotificationsRequest {
        user: call.caller.number,
        user_id: call.caller.user_id.clone(),
        device: call.caller.device_id.clone(),
        from: from.transpose()?,
        limit: limit.clamp(1, MOST),
        wanted,
    };
    push.notifications(request)
        .await
        .map(RawJson)
        .map_err(|error| match error {
            NotificationsError::Store(error) => error.into(),
            NotificationsError::Room(error) => ApiError::internal(error),
        })
}
