//! Profiles: client-server API, "Profiles".

mod delete;
mod field;
mod get;
mod set;
mod whole;

use edge::{ApiError, Routes, User};
use http::StatusCode;
use ruma::{UserId, api::client::profile::PropagateTo};
use users::{ProfileError, Propagation};

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes
        .add(whole::whole)
        .add(get::get)
        .add(set::set)
        .add(delete::delete)
}

fn require_own(caller: &User, user_id: &UserId) -> Result<(), ApiError> {
    if caller.user_id == user_id {
        return Ok(());
    }
    Err(ApiError::forbidden("This is the profile of another user"))
}

/// Which rooms learn of the change: all of them, unless the client asks for less (MSC4466).
fn propagation(asked: &PropagateTo) -> Propagation {
    match asked {
        PropagateTo::Unchanged => Propagation::UnchangedRooms,
        PropagateTo::None => Propagation::NoRooms,
        _ => Propagation::AllRooms,
    }
}

fn refuse(error: ProfileError) -> ApiError {
    match error {
        ProfileError::UnknownUser => ApiError::not_found(error),
        ProfileError::NameTooLong | ProfileError::AvatarTooLong => ApiError::invalid_param(error),
        ProfileError::TooLarge => {
            ApiError::new(StatusCode::BAD_REQUEST, "M_PROFILE_TOO_LARGE", error)
        }
        ProfileError::Store(error) => error.into(),
    }
}
