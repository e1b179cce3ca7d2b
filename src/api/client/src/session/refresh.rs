//! `POST /refresh`: client-server API, "Refreshing access tokens".

use edge::{ApiError, Call, State};
use ruma::api::client::session::refresh_token::v3::{Request, Response};
use users::{RefreshToken, TokenError, Users};

pub(crate) async fn refresh(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let renewed = users
        .refresh(&call.request.refresh_token)
        .await
        .map_err(refuse)?;
    let mut response = Response::new(renewed.access_token.reveal());
    response.refresh_token = renewed.refresh_token.map(RefreshToken::reveal);
    response.expires_in_ms = renewed.expires_in;
    Ok(response)
}

fn refuse(error: TokenError) -> ApiError {
    match error {
        TokenError::Unknown => ApiError::unknown_token(false),
        TokenError::Expired => ApiError::unknown_token(true),
        TokenError::Store(error) => error.into(),
    }
}
