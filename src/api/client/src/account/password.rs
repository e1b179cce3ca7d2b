//! `POST /account/password`: client-server API, "Password management".

use ::devices::DeviceRefusal;
use edge::{ApiError, Call, State};
use ruma::api::client::account::change_password::v3::{Request, Response};
use users::{LoginError, Logout, Operation, PASSWORD_FLOWS, Password, Users};

use crate::interactive;

/// Without an access token the spec lets people prove who they are by email, which this server does not have.
pub(crate) async fn change(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    interactive::charge(&call, call.request.auth.as_ref())?;
    let caller = call.caller.ok_or_else(ApiError::missing_token)?;
    let request = call.request;
    let logout_devices = request.logout_devices.to_string();
    let parameters = [request.new_password.as_str(), &logout_devices];
    let operation = Operation::new("password", Some(caller.number), &parameters);
    users
        .authorize(
            operation,
            Some(caller.number),
            PASSWORD_FLOWS,
            interactive::attempt(request.auth),
        )
        .await
        .map_err(interactive::refuse)?;
    let password = Password::new(request.new_password)
        .ok_or_else(|| ApiError::invalid_param("This password is empty or too long"))?;
    let logout = if request.logout_devices {
        Logout::AllBut(caller.device_id.to_string())
    } else {
        Logout::Nobody
    };
    users
        .change_password(caller.number, password, logout)
        .await
        .map_err(refuse)?;
    Ok(Response::new())
}

pub(crate) fn refuse(error: LoginError) -> ApiError {
    match error {
        LoginError::Refused => ApiError::forbidden(error),
        LoginError::DeviceId => ApiError::invalid_param(error),
        LoginError::Device(error) => refuse_device(error),
        LoginError::Busy => ApiError::limit_exceeded(interactive::BUSY),
        LoginError::Store(error) => error.into(),
    }
}

fn refuse_device(error: DeviceRefusal) -> ApiError {
    match error {
        DeviceRefusal::CrossSigningKey => ApiError::forbidden(error),
        DeviceRefusal::TooMany(_) => ApiError::user_limit_exceeded(error),
        DeviceRefusal::Store(error) => error.into(),
    }
}
