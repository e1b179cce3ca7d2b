//! Messages to devices: client-server API, "Send-to-Device messaging".

mod send;

use edge::{Class, Routes, Rule};

use crate::ClientApi;

/// One request carries the keys of a room to all devices of many people.
const LARGEST: usize = 8 * 1024 * 1024;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes.add_with(
        send::send,
        Rule::new().class(Class::Message).body_limit(LARGEST),
    )
}
