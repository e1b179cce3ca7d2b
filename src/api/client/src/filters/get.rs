//! `GET /user/{userId}/filter/{filterId}`: client-server API, "Filtering".

use edge::{ApiError, Call, State};
use ruma::api::client::filter::get_filter::v3::{Request, Response};
use users::Users;

use crate::filters::require_own;

pub(crate) async fn get(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    require_own(&call.caller, &call.request.user_id)?;
    let db = users.snapshot().await?;
    let filter = users
        .filter(&db, call.caller.number, &call.request.filter_id)
        .await?;
    let filter = filter.ok_or_else(|| ApiError::not_found("No such filter"))?;
    Ok(Response::new((*filter).clone()))
}
