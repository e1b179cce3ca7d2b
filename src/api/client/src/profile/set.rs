//! `PUT /profile/{userId}/{keyName}`: client-server API, "Profiles".

use edge::{ApiError, Call, Empty, State};
use ruma::{
    OwnedUserId,
    api::{
        IncomingRequest,
        auth_scheme::AccessToken,
        client::profile::{PropagateTo, delete_profile_field, set_profile_field::v3::Response},
        error::DeserializationError,
        metadata,
    },
    profile::ProfileFieldName,
};
use serde_json::{Map, Value};
use users::Users;

use crate::profile::{field, propagation, refuse, require_own};

/// Ours, because ruma's refuses `null` and an avatar that is deleted by an empty address.
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

impl IncomingRequest for Request {
    type EndpointError = ruma::api::error::Error;
    type OutgoingResponse = Response;

    fn try_from_http_request_inner(
        request: http::Request<&[u8]>,
        path: &[&str],
    ) -> Result<Self, DeserializationError> {
        let body = serde_json::from_slice(request.body())?;
        // The same path and query as a deletion's, which ruma reads.
        let same = delete_profile_field::v3::Request::try_from_http_request_inner(request, path)?;
        let name = ProfileFieldName::as_str(&same.field).to_owned();
        Ok(Self {
            user_id: same.user_id,
            name,
            body,
            propagate_to: same.propagate_to,
        })
    }
}

pub(crate) async fn set(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Empty, ApiError> {
    let Request {
        user_id,
        name,
        mut body,
        propagate_to,
    } = call.request;
    require_own(&call.caller, &user_id)?;
    field::check_name(&name)?;
    let value = body
        .remove(&name)
        .ok_or_else(|| ApiError::missing_param(format_args!("Missing {name} in the body")))?;
    let change = field::change(&name, value)?;
    let propagation = propagation(&propagate_to);
    users
        .change_profile(call.caller.number, change, propagation)
        .await
        .map_err(refuse)?;
    Ok(Empty)
}
