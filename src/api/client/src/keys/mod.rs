//! Published keys: client-server API, "Key management" and "Cross-signing".

mod changes;
mod claim;
mod device_signing;
mod query;
mod signatures;
mod upload;

pub(crate) use self::upload::{one_time_keys, refuse};

use edge::{ApiError, Routes, Rule};

use crate::ClientApi;

/// Users or devices that one request may name: more than any room's clients ask for at once.
const MAX_NAMES: usize = 10_000;

fn check_count(names: usize) -> Result<(), ApiError> {
    if names > MAX_NAMES {
        return Err(ApiError::too_large(format_args!(
            "A request may name {MAX_NAMES} users or devices at most"
        )));
    }
    Ok(())
}

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    // A query or claim names every device of large rooms.
    let large = Rule::new().large_body();
    routes
        .add(upload::upload)
        .add_with(query::query, large)
        .add(changes::changes)
        .add_with(claim::claim, large)
        .add(device_signing::upload)
        .add_with(signatures::upload, large)
}
