//! `GET /devices/{deviceId}`: client-server API, "Device Management".

use edge::{ApiError, Call, State};
use ruma::api::client::device::get_device::v3::{Request, Response};
use users::Users;

use crate::devices::{shown, unknown};

pub(crate) async fn get(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let db = users.snapshot().await?;
    let id = call.request.device_id.as_str();
    let entry = ::devices::get(&db, call.caller.number, id)
        .await?
        .ok_or_else(unknown)?;
    Ok(Response::new(shown(entry)))
}
