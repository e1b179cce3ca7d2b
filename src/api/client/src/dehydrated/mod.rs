//! Dehydrated devices (MSC3814), under their unstable path.

mod device;
mod events;

use edge::{ApiError, Routes};

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes
        .add(device::get)
        .add(device::put)
        .add(device::delete)
        .add(events::events)
        .add(events::get_events)
}

fn none() -> ApiError {
    ApiError::not_found("No dehydrated device available")
}
