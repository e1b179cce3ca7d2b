//! `GET` and `PUT /presence/{userId}/status`: client-server API, "Presence".
//! `org.matrix.msc3026.busy` is a state, too (MSC3026). Where presence is disabled, everybody is
//! offline, and setting it changes nothing.

use std::time::Duration;

use edge::{ApiError, Call, Empty, State};
use presence::{Presence, PresenceState};
use ruma::api::client::presence::{get_presence, set_presence};

use super::refuse;

pub(super) async fn get(
    State(presence): State<Presence>,
    call: Call<get_presence::v3::Request>,
) -> Result<get_presence::v3::Response, ApiError> {
    let status = presence
        .status(call.caller.number, &call.request.user_id)
        .await
        .map_err(refuse)?;
    let mut response = get_presence::v3::Response::new(status.state.as_str().into());
    response.status_msg = status.status_msg;
    response.last_active_ago = status.last_active_ago.map(Duration::from_millis);
    response.currently_active = status.currently_active;
    Ok(response)
}

pub(super) async fn put(
    State(presence): State<Presence>,
    call: Call<set_presence::v3::Request>,
) -> Result<Empty, ApiError> {
    let (caller, request) = (&call.caller, &call.request);
    if request.user_id != caller.user_id {
        return Err(ApiError::forbidden("this is the presence of another user"));
    }
    let state = PresenceState::parse(request.presence.as_str()).ok_or_else(|| {
        ApiError::invalid_param("`presence` must be a state of the specification")
    })?;
    let (device, status_msg) = (caller.device_id.as_str(), request.status_msg.as_deref());
    presence
        .put(caller.number, device, state, status_msg)
        .await
        .map_err(refuse)?;
    Ok(Empty)
}
