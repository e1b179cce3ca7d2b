//! Handshakes by which users of other servers join, leave and knock: server-server API, "Joining Rooms", "Leaving Rooms",
//! "Knocking upon a room".

mod join;
mod knock;
mod leave;
mod old_request;
mod template;

use edge::{ApiError, Routes};
use http::StatusCode;
use rooms_remote::HandshakeError;
use ruma::api::error::ErrorCode;

use crate::{FederationApi, refusal};

pub(crate) fn list(routes: Routes<FederationApi>) -> Routes<FederationApi> {
    routes
        .add(template::make_join)
        .add(template::make_leave)
        .add(template::make_knock)
        .add(join::send_join)
        .add(join::send_join_v1)
        .add(leave::send_leave)
        .add(leave::send_leave_v1)
        .add(knock::send_knock)
}

fn refuse(error: HandshakeError) -> ApiError {
    let bad = |code: ErrorCode, error: &HandshakeError| {
        ApiError::new(StatusCode::BAD_REQUEST, code, error)
    };
    match error {
        HandshakeError::IncompatibleVersion(ref version) => {
            let code = ErrorCode::from("M_INCOMPATIBLE_ROOM_VERSION");
            bad(code, &error).with("room_version", version.as_str())
        }
        HandshakeError::UnableToAuthorize => bad(ErrorCode::UnableToAuthorizeJoin, &error),
        HandshakeError::UnableToGrant => bad(ErrorCode::UnableToGrantJoin, &error),
        HandshakeError::InvalidEvent(_) => ApiError::invalid_param(error),
        HandshakeError::MissingCreate => ApiError::missing_param(error),
        HandshakeError::Room(error) => refusal::refuse(error),
    }
}
