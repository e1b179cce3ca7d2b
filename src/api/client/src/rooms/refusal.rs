//! What a room's refusal is in errcodes. Where an endpoint has an errcode of its own, it looks at the error first.

use std::time::Duration;

use edge::ApiError;
use http::StatusCode;
use rooms_store::RoomError;

/// How long who finds a room busy waits before trying again.
const BUSY: Duration = Duration::from_secs(1);

pub(super) fn refuse(error: RoomError) -> ApiError {
    match error {
        RoomError::UnknownRoom | RoomError::UnknownEvent | RoomError::UnknownAlias => {
            ApiError::not_found(error)
        }
        RoomError::NotInRoom | RoomError::Forbidden(_) | RoomError::Remote(_) => {
            ApiError::forbidden(error)
        }
        RoomError::StillInRoom => ApiError::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", error),
        RoomError::Invalid(_) => ApiError::invalid_param(error),
        RoomError::InitialState(_) => {
            ApiError::new(StatusCode::BAD_REQUEST, "M_INVALID_ROOM_STATE", error)
        }
        RoomError::InviteBlocked => ApiError::new(StatusCode::FORBIDDEN, "M_INVITE_BLOCKED", error),
        RoomError::NotBanned => ApiError::new(StatusCode::FORBIDDEN, "M_BAD_STATE", error),
        RoomError::BadContent(_) => ApiError::bad_json(error),
        RoomError::TooLarge => ApiError::too_large(error),
        RoomError::UnsupportedVersion(_) => {
            ApiError::new(StatusCode::BAD_REQUEST, "M_UNSUPPORTED_ROOM_VERSION", error)
        }
        RoomError::AliasInUse => ApiError::new(StatusCode::CONFLICT, "M_UNKNOWN", error),
        RoomError::NoServer(_) => ApiError::new(StatusCode::BAD_GATEWAY, "M_UNKNOWN", error),
        RoomError::Busy => ApiError::limit_exceeded(BUSY),
        RoomError::ShuttingDown => ApiError::unavailable(error),
        RoomError::Damaged => ApiError::internal(error),
        RoomError::Store(error) => error.into(),
    }
}
