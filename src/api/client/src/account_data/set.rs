//! `PUT /user/{userId}/account_data/{type}`: client-server API, "Client Config".

use edge::{ApiError, Call, Empty, State, own_request};
use ruma::{
    OwnedUserId,
    api::{
        auth_scheme::AccessToken, client::config::set_global_account_data::v3::Response, metadata,
    },
};
use serde_json::value::RawValue;
use users::Users;

use crate::account_data::{check, refuse, require_own};

/// Own request type: the type must stay as it is in the path, and ruma replaces renamed types.
pub(crate) struct Request {
    user_id: OwnedUserId,
    kind: String,
    content: Box<RawValue>,
}

metadata! {
    @for Request,
    method: PUT,
    rate_limited: false,
    authentication: AccessToken,
    history: {
        1.0 => "/_matrix/client/r0/user/{user_id}/account_data/{event_type}",
        1.1 => "/_matrix/client/v3/user/{user_id}/account_data/{event_type}",
    }
}

own_request!(Request => Response, |input| {
    let (user_id, kind) = input.path()?;
    Ok(Request {
        user_id,
        kind,
        content: input.json()?,
    })
});

pub(crate) async fn set(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Empty, ApiError> {
    let Request {
        user_id,
        kind,
        content,
    } = call.request;
    require_own(&call.caller, &user_id)?;
    check(&kind, content.get())?;
    users
        .set_account_data(call.caller.number, None, &kind, content.get())
        .await
        .map_err(refuse)?;
    Ok(Empty)
}
