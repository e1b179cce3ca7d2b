//! `DELETE /profile/{userId}/{keyName}`: client-server API, "Profiles".

use edge::{ApiError, Call, State};
use ruma::api::client::profile::delete_profile_field::v3::{Request, Response};
use users::Users;

use crate::profile::{charge, field, propagation, refuse, require_own};

pub(crate) async fn delete(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let request = &call.request;
    require_own(&call.caller, &request.user_id)?;
    let name = request.field.as_str();
    field::check_name(name)?;
    let propagation = propagation(&request.propagate_to);
    charge(&call, name, propagation)?;
    users
        .change_profile(call.caller.number, field::deletion(name), propagation)
        .await
        .map_err(refuse)?;
    Ok(Response::new())
}
