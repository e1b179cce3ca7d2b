//! Published keys: client-server API, "Key management" and "Cross-signing".

mod changes;
mod claim;
mod device_signing;
mod query;
mod signatures;
mod upload;

pub(crate) use self::upload::{one_time_keys, refuse};

use edge::{Routes, Rule};

use crate::ClientApi;

/// A query or claim names every device of large rooms.
const LARGEST_LIST: usize = 4 * 1024 * 1024;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes
        .add(upload::upload)
        .add_with(query::query, Rule::new().body_limit(LARGEST_LIST))
        .add(changes::changes)
        .add_with(claim::claim, Rule::new().body_limit(LARGEST_LIST))
        .add(device_signing::upload)
        .add_with(signatures::upload, Rule::new().body_limit(LARGEST_LIST))
}
