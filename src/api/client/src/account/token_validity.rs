//! `GET /register/m.login.registration_token/validity`: client-server API, "Token-authenticated registration".

use edge::{ApiError, Call, State};
use ruma::api::client::account::check_registration_token_validity::v1::{Request, Response};
use users::Users;

pub(crate) async fn token_validity(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    if users.registration_flows().is_none() {
        return Err(ApiError::forbidden("This server is closed to registration"));
    }
    Ok(Response::new(
        users.is_registration_token(&call.request.token),
    ))
}
