//! Presence: client-server API, "Presence".

mod status;

use edge::{ApiError, Routes};
use presence::PresenceError;

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes.add(status::get).add(status::put)
}

fn refuse(error: PresenceError) -> ApiError {
    match error {
        PresenceError::StatusTooLong => ApiError::invalid_param(error),
        PresenceError::NotShared => ApiError::forbidden(error),
        PresenceError::Store(error) => error.into(),
    }
}
