//! `PUT /devices/{deviceId}`: client-server API, "Device Management".

use edge::{ApiError, Call, State};
use ruma::api::client::device::update_device::v3::{Request, Response};
use users::Users;

use crate::devices::unknown;

pub(crate) async fn rename(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let id = call.request.device_id.as_str();
    let name = call.request.display_name.as_deref();
    if !users.rename_device(call.caller.number, id, name).await? {
        return Err(unknown());
    }
    Ok(Response::new())
}
