//! Profiles: client-server API, "Profiles".

mod delete;
mod field;
mod get;
mod set;
mod whole;

use edge::{ApiError, Call, Class, Routes, Scheme, User};
use http::StatusCode;
use ruma::{
    UserId,
    api::{Metadata, client::profile::PropagateTo},
};
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

/// The rooms that show the change: all of them, unless the client asks for fewer (MSC4466).
fn propagation(asked: &PropagateTo) -> Propagation {
    match asked {
        PropagateTo::Unchanged => Propagation::UnchangedRooms,
        PropagateTo::None => Propagation::NoRooms,
        _ => Propagation::AllRooms,
    }
}

/// A change that rooms show is an event in each of the user's rooms.
fn charge<R>(call: &Call<R>, field: &str, propagation: Propagation) -> Result<(), ApiError>
where
    R: Metadata<Authentication: Scheme>,
{
    let is_shown = matches!(field, "displayname" | "avatar_url");
    if is_shown && propagation != Propagation::NoRooms {
        call.charge(Class::Message)?;
    }
    Ok(())
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
