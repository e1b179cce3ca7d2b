//! `POST /user/{userId}/filter`: client-server API, "Filtering".

use edge::{ApiError, Call, State};
use ruma::api::client::filter::create_filter::v3::{Request, Response};
use users::{FilterError, Users};

use crate::filters::require_own;

pub(crate) async fn create(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    require_own(&call.caller, &call.request.user_id)?;
    let id = users
        .keep_filter(call.caller.number, &call.request.filter)
        .await
        .map_err(refuse)?;
    Ok(Response::new(id))
}

fn refuse(error: FilterError) -> ApiError {
    match error {
        FilterError::TooLarge => ApiError::too_large(error),
        FilterError::TooMany => ApiError::user_limit_exceeded(error),
        FilterError::Store(error) => error.into(),
    }
}
