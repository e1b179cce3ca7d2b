//! What other servers send as it happens: server-server API, "Transactions".

mod send;

use edge::{Routes, Rule};

use crate::FederationApi;

/// 50 events and 100 EDUs of the greatest size, and room for escapes.
const LARGEST: usize = 16 << 20;

pub(crate) fn list(routes: Routes<FederationApi>) -> Routes<FederationApi> {
    routes.add_with(send::send, Rule::new().body_bytes(LARGEST))
}
