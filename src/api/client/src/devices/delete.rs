//! `DELETE /devices/{deviceId}`, `POST /delete_devices`: client-server API, "Device Management". Both ask for the password:
//! whoever finds an unlocked phone does not log out the others.

use edge::{ApiError, Call, State, User};
use ruma::{
    OwnedDeviceId,
    api::client::{
        device::{delete_device, delete_devices},
        uiaa::AuthData,
    },
};
use users::{Operation, PASSWORD_FLOWS, Users};

use crate::interactive;

pub(crate) async fn delete(
    State(users): State<Users>,
    call: Call<delete_device::v3::Request>,
) -> Result<delete_device::v3::Response, ApiError> {
    interactive::charge(&call, call.request.auth.as_ref())?;
    let ids = vec![call.request.device_id];
    delete_all(
        &users,
        &call.caller,
        "delete_device",
        ids,
        call.request.auth,
    )
    .await?;
    Ok(delete_device::v3::Response::new())
}

pub(crate) async fn delete_many(
    State(users): State<Users>,
    call: Call<delete_devices::v3::Request>,
) -> Result<delete_devices::v3::Response, ApiError> {
    interactive::charge(&call, call.request.auth.as_ref())?;
    let ids = call.request.devices;
    delete_all(
        &users,
        &call.caller,
        "delete_devices",
        ids,
        call.request.auth,
    )
    .await?;
    Ok(delete_devices::v3::Response::new())
}

async fn delete_all(
    users: &Users,
    caller: &User,
    endpoint: &str,
    ids: Vec<OwnedDeviceId>,
    auth: Option<AuthData>,
) -> Result<(), ApiError> {
    let parameters: Vec<&str> = ids.iter().map(|id| id.as_str()).collect();
    let operation = Operation::new(endpoint, Some(caller.number), &parameters);
    users
        .authorize(
            operation,
            Some(caller.number),
            PASSWORD_FLOWS,
            interactive::attempt(auth),
        )
        .await
        .map_err(interactive::refuse)?;
    let ids = ids.into_iter().map(|id| id.to_string()).collect();
    Ok(users.delete_devices(caller.number, ids).await?)
}
