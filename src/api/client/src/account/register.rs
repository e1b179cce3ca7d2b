//! `POST /register`: client-server API, "Account registration".

use edge::{ApiError, Call, Json, State};
use http::StatusCode;
use ruma::{
    OwnedDeviceId, OwnedUserId, UserId,
    api::client::account::register::{RegistrationKind, v3::Request},
};
use serde::Serialize;
use users::{
    NameError, NewAccount, NewDevice, Operation, Password, RegisterError, Registered, Users,
};

use crate::interactive;

/// Who wants no login is told the name alone: ruma's response would give `device_id` as null.
#[derive(Serialize)]
pub(crate) struct Response {
    user_id: OwnedUserId,
    #[serde(flatten)]
    session: Option<Session>,
}

#[derive(Serialize)]
struct Session {
    access_token: String,
    device_id: OwnedDeviceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<u128>,
}

pub(crate) async fn register(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Json<Response>, ApiError> {
    let mut request = call.request;
    if request.kind == RegistrationKind::Guest {
        let status = StatusCode::FORBIDDEN;
        return Err(ApiError::new(
            status,
            "M_GUEST_ACCESS_FORBIDDEN",
            "There are no guests here",
        ));
    }
    if request.login_type.is_some() {
        // Only application services name a type, with a token of theirs; there are none yet.
        return Err(ApiError::missing_token());
    }
    let flows = users
        .registration_flows()
        .ok_or_else(|| ApiError::forbidden("This server is closed to registration"))?;
    let user_id = match &request.username {
        Some(name) => users.wanted_name(name).map_err(refuse_name)?,
        None => users.unused_name().map_err(refuse)?,
    };
    require_available(&users, &user_id).await?;
    let attempt = interactive::attempt(request.auth.take());
    let operation = operation(&request);
    users
        .authorize(operation, None, flows, attempt)
        .await
        .map_err(interactive::refuse)?;

    let password = request
        .password
        .ok_or_else(|| ApiError::missing_param("Missing password"))?;
    let password = Password::new(password)
        .ok_or_else(|| ApiError::invalid_param("This password is empty or too long"))?;
    let device = NewDevice {
        id: request.device_id,
        display_name: request.initial_device_display_name,
        can_refresh: request.refresh_token,
    };
    let new = NewAccount {
        user_id,
        password: Some(password),
        is_admin: false,
        device: (!request.inhibit_login).then_some(device),
    };
    users.register(new).await.map(answer).map_err(refuse)
}

/// Early, so that nobody goes through interactive auth for a name that is gone.
async fn require_available(users: &Users, user_id: &UserId) -> Result<(), ApiError> {
    let db = users.snapshot().await?;
    if users.is_available(&db, user_id).await? {
        return Ok(());
    }
    Err(refuse(RegisterError::InUse))
}

/// Everything that the request asks for; a name that we would make up is none that it asks for.
fn operation(request: &Request) -> Operation {
    let device_id = request.device_id.as_ref().map(|id| id.as_str());
    let flags = format!("{} {}", request.inhibit_login, request.refresh_token);
    let parameters = [
        request.username.as_deref().unwrap_or_default(),
        request.password.as_deref().unwrap_or_default(),
        device_id.unwrap_or_default(),
        request
            .initial_device_display_name
            .as_deref()
            .unwrap_or_default(),
        &flags,
    ];
    Operation::new("register", None, &parameters)
}

fn answer(registered: Registered) -> Json<Response> {
    let session = registered.session.map(|session| Session {
        access_token: session.access_token.reveal(),
        device_id: session.device_id,
        refresh_token: session.refresh_token.map(users::RefreshToken::reveal),
        expires_in_ms: session.expires_in.map(|time| time.as_millis()),
    });
    Json(Response {
        user_id: registered.user_id,
        session,
    })
}

pub(crate) fn refuse_name(error: NameError) -> ApiError {
    let errcode = match error {
        NameError::Reserved => "M_EXCLUSIVE",
        NameError::Character | NameError::Empty | NameError::TooLong => "M_INVALID_USERNAME",
    };
    ApiError::new(StatusCode::BAD_REQUEST, errcode, error)
}

pub(crate) fn refuse(error: RegisterError) -> ApiError {
    match error {
        RegisterError::Name(error) => refuse_name(error),
        RegisterError::InUse => ApiError::new(StatusCode::BAD_REQUEST, "M_USER_IN_USE", error),
        RegisterError::DeviceId => ApiError::invalid_param(error),
        RegisterError::Busy => ApiError::limit_exceeded(interactive::BUSY),
        RegisterError::Store(error) => error.into(),
    }
}
