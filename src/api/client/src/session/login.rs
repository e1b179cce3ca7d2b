//! `POST /login`: client-server API, "Login".

use edge::{ApiError, Call, State, own_request};
use http::StatusCode;
use ruma::{
    OwnedDeviceId,
    api::{
        auth_scheme::NoAccessToken,
        client::{
            session::login::v3::{DiscoveryInfo, HomeserverInfo, Response},
            uiaa::UserIdentifier,
        },
        metadata,
    },
};
use serde::Deserialize;
use users::{NewDevice, Password, RefreshToken, Users};

use crate::{account::refuse_login, interactive::name_of, server::ServerInfo};

const PASSWORD: &str = "m.login.password";

/// Own request type: ruma's panics on a body without `type`.
#[derive(Deserialize)]
pub(crate) struct Request {
    #[serde(rename = "type")]
    kind: String,
    identifier: Option<UserIdentifier>,
    /// Deprecated, and still sent by old clients.
    user: Option<String>,
    password: Option<String>,
    device_id: Option<OwnedDeviceId>,
    initial_device_display_name: Option<String>,
    #[serde(default)]
    refresh_token: bool,
}

metadata! {
    @for Request,
    method: POST,
    rate_limited: true,
    authentication: NoAccessToken,
    history: {
        1.0 => "/_matrix/client/r0/login",
        1.1 => "/_matrix/client/v3/login",
    }
}

own_request!(Request => Response, |input| input.json());

pub(crate) async fn login(
    State(users): State<Users>,
    State(server): State<ServerInfo>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let request = call.request;
    if request.kind != PASSWORD {
        let status = StatusCode::BAD_REQUEST;
        return Err(ApiError::new(
            status,
            "M_UNKNOWN",
            "This server has no such login type",
        ));
    }
    let name = request
        .identifier
        .map(name_of)
        .or(request.user)
        .ok_or_else(|| ApiError::missing_param("Missing identifier"))?;
    let password = request
        .password
        .ok_or_else(|| ApiError::missing_param("Missing password"))?;
    let password = Password::new(password)
        .ok_or_else(|| ApiError::forbidden("Wrong user name or password"))?;
    let device = NewDevice {
        id: request.device_id,
        display_name: request.initial_device_display_name,
        can_refresh: request.refresh_token,
    };
    let logged_in = users
        .login(&name, &password, &device)
        .await
        .map_err(refuse_login)?;

    let session = logged_in.session;
    let token = session.access_token.reveal();
    let mut response = Response::new(logged_in.user_id, token, session.device_id);
    response.refresh_token = session.refresh_token.map(RefreshToken::reveal);
    response.expires_in = session.expires_in;
    let homeserver = HomeserverInfo::new(server.public_base_url().to_owned());
    response.well_known = Some(DiscoveryInfo::new(homeserver));
    Ok(response)
}
