//! `PUT /user/{userId}/account_data/{type}`: client-server API, "Client Config".

use edge::{ApiError, Call, Empty, State};
use ruma::{
    OwnedUserId,
    api::{
        IncomingRequest, auth_scheme::AccessToken,
        client::config::set_global_account_data::v3::Response, error::DeserializationError,
        metadata,
    },
};
use serde_json::value::RawValue;
use users::Users;

use crate::{
    account_data::{check, require_own},
    path::path,
};

/// Ours, because the type must stay as it stands in the path: ruma replaces those that have got a new name.
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

impl IncomingRequest for Request {
    type EndpointError = ruma::api::error::Error;
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        arguments: &[&str],
    ) -> Result<Self, DeserializationError> {
        let (user_id, kind) = path(arguments)?;
        Ok(Self {
            user_id,
            kind,
            content: serde_json::from_slice(request.body())?,
        })
    }
}

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
        .await?;
    Ok(Empty)
}
