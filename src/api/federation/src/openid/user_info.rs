//! `GET /_matrix/federation/v1/openid/userinfo`: server-server API, "OpenID". Asked by services that are no Matrix servers, so nobody
//! signs it: the token is all there is.

use edge::{ApiError, Call, Json, State, own_request};
use ruma::{
    api::{auth_scheme::NoAuthentication, client::account::whoami::v3::Response},
    metadata,
};
use serde::Deserialize;
use serde_json::{Value, json};
use users::{TokenError, Users};

#[derive(Deserialize)]
pub(super) struct Request {
    access_token: Option<String>,
}

metadata! {
    @for Request,
    method: GET,
    rate_limited: false,
    authentication: NoAuthentication,
    path: "/_matrix/federation/v1/openid/userinfo",
}

// The handler answers with JSON of its own.
own_request!(Request => Response, |input| input.query());

pub(super) async fn user_info(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Json<Value>, ApiError> {
    let token = call.request.access_token.filter(|token| !token.is_empty());
    let token = token.ok_or_else(ApiError::missing_token)?;
    let user_id = users.openid_user(&token).await.map_err(refuse)?;
    Ok(Json(json!({ "sub": user_id })))
}

fn refuse(error: TokenError) -> ApiError {
    match error {
        TokenError::Unknown | TokenError::Expired => ApiError::unknown_token(false),
        TokenError::Store(error) => error.into(),
    }
}
