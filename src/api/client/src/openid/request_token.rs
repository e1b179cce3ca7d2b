//! `POST /user/{userId}/openid/request_token`: client-server API, "OpenID".

use edge::{ApiError, Call, State};
use ruma::{
    api::client::account::request_openid_token::v3::{Request, Response},
    authentication::TokenType,
};
use users::{OPENID_LIFETIME, Users};

pub(super) async fn request_token(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    if call.caller.user_id != call.request.user_id {
        return Err(ApiError::forbidden("You can only speak for yourself"));
    }
    let token = users.new_openid_token(call.caller.number).await?;
    Ok(Response::new(
        token.reveal(),
        TokenType::Bearer,
        users.server_name().to_owned(),
        OPENID_LIFETIME,
    ))
}
