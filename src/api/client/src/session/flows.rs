//! `GET /login`: client-server API, "Login".

use edge::{ApiError, Call};
use ruma::api::client::session::get_login_types::v3::{
    LoginType, PasswordLoginType, Request, Response,
};

pub(crate) async fn flows(_: Call<Request>) -> Result<Response, ApiError> {
    Ok(Response::new(vec![LoginType::Password(
        PasswordLoginType::new(),
    )]))
}
