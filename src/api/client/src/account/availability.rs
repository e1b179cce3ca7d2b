//! `GET /register/available`: client-server API, "Account registration".

use edge::{ApiError, Call, State};
use ruma::api::client::account::get_username_availability::v3::{Request, Response};
use users::{RegisterError, Users};

use crate::account::register::{refuse, refuse_name};

pub(crate) async fn availability(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let user_id = users
        .wanted_name(&call.request.username)
        .map_err(refuse_name)?;
    let db = users.snapshot().await?;
    if !users.is_available(&db, &user_id).await? {
        return Err(refuse(RegisterError::InUse));
    }
    Ok(Response::new(true))
}
