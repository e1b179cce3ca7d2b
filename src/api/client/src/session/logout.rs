//! `POST /logout`, `POST /logout/all`: client-server API, "Login".

use edge::{ApiError, Call, State};
use ruma::api::client::session::{logout, logout_all};
use users::Users;

pub(crate) async fn logout(
    State(users): State<Users>,
    call: Call<logout::v3::Request>,
) -> Result<logout::v3::Response, ApiError> {
    users.logout(&call.caller).await?;
    Ok(logout::v3::Response::new())
}

pub(crate) async fn logout_all(
    State(users): State<Users>,
    call: Call<logout_all::v3::Request>,
) -> Result<logout_all::v3::Response, ApiError> {
    users.logout_all(call.caller.number).await?;
    Ok(logout_all::v3::Response::new())
}
