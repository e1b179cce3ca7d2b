//! `PUT /profile/{userId}/{keyName}`: client-server API, "Profiles".

use edge::{ApiError, Call, Empty, State, own_request};
use ruma::{
    OwnedUserId,
    api::{
        IncomingRequest,
        auth_scheme::AccessToken,
        client::profile::{PropagateTo, delete_profile_field, set_profile_field::v3::Response},
        metadata,
    },
    profile::ProfileFieldName,
};
use serde_json::{Map, Value};
use users::Users;

use crate::profile::{charge, field, propagation, refuse, require_own};

/// Own request type: ruma's refuses an avatar that is deleted by an empty address.
pub(crate) struct Request {
    user_id: OwnedUserId,
    name: String,
    body: Map<String, Value>,
    propagate_to: PropagateTo,
}

metadata! {
    @for Request,
    method: PUT,
    rate_limited: true,
    authentication: AccessToken,
    history: {
        unstable("uk.tcpip.msc4133") => "/_matrix/client/unstable/uk.tcpip.msc4133/profile/{user_id}/{field}",
        1.0 => "/_matrix/client/r0/profile/{user_id}/{field}",
        1.1 => "/_matrix/client/v3/profile/{user_id}/{field}",
    }
}

own_request!(Request => Response, |input| {
    let body = input.json()?;
    // The same path and query as a deletion's, which ruma decodes.
    let (request, path) = input.into_parts();
    let same = <delete_profile_field::v3::Request as IncomingRequest>::try_from_http_request_inner(
        request, path,
    )?;
    let name = ProfileFieldName::as_str(&same.field).to_owned();
    Ok(Request {
        user_id: same.user_id,
        name,
        body,
        propagate_to: same.propagate_to,
    })
});

pub(crate) async fn set(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Empty, ApiError> {
    require_own(&call.caller, &call.request.user_id)?;
    field::check_name(&call.request.name)?;
    let propagation = propagation(&call.request.propagate_to);
    charge(&call, &call.request.name, propagation)?;
    let Request { name, mut body, .. } = call.request;
    let value = body
        .remove(&name)
        .ok_or_else(|| ApiError::missing_param(format_args!("Missing {name} in the body")))?;
    let change = field::change(&name, value)?;
    users
        .change_profile(call.caller.number, change, propagation)
        .await
        .map_err(refuse)?;
    Ok(Empty)
}
