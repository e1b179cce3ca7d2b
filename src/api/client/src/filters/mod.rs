//! Filters: client-server API, "Filtering".

mod create;
mod get;

use edge::{ApiError, Routes, User};
use ruma::UserId;

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes.add(create::create).add(get::get)
}

fn require_own(caller: &User, user_id: &UserId) -> Result<(), ApiError> {
    if caller.user_id == user_id {
        return Ok(());
    }
    Err(ApiError::forbidden("These filters belong to another user"))
}
