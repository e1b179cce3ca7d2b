//! `POST /register`: client-server API, "Account registration".

use edge::{ApiError, Call, Json, State};
use http::StatusCode;
use ruma::{
    OwnedDeviceId, OwnedUserId, UserId,
    api::client::{
        account::register::{RegistrationKind, v3::Request},
        uiaa::AuthData,
    },
};
use serde::Serialize;
use users::{
    InteractiveError, NameError, NewAccount, NewDevice, NewRegistration, Operation, Password,
    RegisterError, Registered, Users,
};

use crate::interactive;

/// Without a session only the user id: ruma's response would have `device_id` as null.
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
    let auth = request.auth.take();
    let session = auth.as_ref().and_then(AuthData::session).map(str::to_owned);
    if let Some(session) = &session {
        if let Some(first) = users.remembered_registration(session) {
            fill_in(&mut request, &first);
        }
        if let Some(made) = users.finished_registration(session, operation(&request)) {
            return Ok(answer(made));
        }
    }
    let user_id = match &request.username {
        Some(name) => users.wanted_name(name).map_err(refuse_name)?,
        None => users.unused_name().map_err(refuse)?,
    };
    require_available(&users, &user_id).await?;
    let attempt = interactive::attempt(auth);
    let authorized = users
        .authorize(operation(&request), None, flows, attempt)
        .await;
    if let Err(InteractiveError::Challenge(challenge)) = &authorized {
        users.remember_registration(&challenge.session, parameters(&request));
    }
    authorized.map_err(interactive::refuse)?;

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
    let made = users.register(new).await.map_err(refuse)?;
    if let Some(session) = &session {
        users.finish_registration(session, &made);
    }
    Ok(answer(made))
}

/// Parameters that the first request of the conversation had and this one leaves out.
fn fill_in(request: &mut Request, first: &NewRegistration) {
    let device_id = || first.device_id.clone().map(OwnedDeviceId::from);
    request.username = request.username.take().or_else(|| first.username.clone());
    request.password = request.password.take().or_else(|| first.password.clone());
    request.device_id = request.device_id.take().or_else(device_id);
    let name = request.initial_device_display_name.take();
    request.initial_device_display_name = name.or_else(|| first.device_name.clone());
    request.inhibit_login |= first.inhibit_login;
    request.refresh_token |= first.refresh_token;
}

fn parameters(request: &Request) -> NewRegistration {
    NewRegistration {
        username: request.username.clone(),
        password: request.password.clone(),
        device_id: request.device_id.as_ref().map(ToString::to_string),
        device_name: request.initial_device_display_name.clone(),
        inhibit_login: request.inhibit_login,
        refresh_token: request.refresh_token,
    }
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
