//! What a room refuses, in the errcodes of the server-server API.

use edge::ApiError;
use http::StatusCode;
use rooms_store::RoomError;
use ruma::api::error::ErrorCode;

pub(crate) fn refuse(error: RoomError) -> ApiError {
    match error {
        RoomError::UnknownRoom
        | RoomError::UnknownEvent
        | RoomError::UnknownAlias
        | RoomError::Remote(_) => ApiError::not_found(error),
        RoomError::NotInRoom => ApiError::forbidden("Your server is not in this room"),
        RoomError::Forbidden(_) | RoomError::StillInRoom | RoomError::NotBanned => {
            ApiError::forbidden(error)
        }
        RoomError::InviteBlocked => ApiError::new(StatusCode::FORBIDDEN, "M_INVITE_BLOCKED", error),
        RoomError::Invalid(_) | RoomError::InitialState(_) => ApiError::invalid_param(error),
        RoomError::BadContent(_) => ApiError::bad_json(error),
        RoomError::TooLarge => ApiError::too_large(error),
        RoomError::UnsupportedVersion(_) => ApiError::new(
            StatusCode::BAD_REQUEST,
            ErrorCode::UnsupportedRoomVersion,
            error,
        ),
        RoomError::AliasInUse => ApiError::new(StatusCode::CONFLICT, ErrorCode::RoomInUse, error),
        RoomError::NoServer(_) | RoomError::Busy | RoomError::ShuttingDown => {
            ApiError::unavailable(error)
        }
        RoomError::Damaged => ApiError::internal(error),
        RoomError::Store(error) => error.into(),
    }
}
