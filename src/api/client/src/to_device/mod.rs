//! Messages to devices: client-server API, "Send-to-Device messaging".

mod send;

use edge::{Class, Routes, Rule};

use crate::ClientApi;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    // One request carries the keys of a room to all devices of many people.
    let rule = Rule::new().class(Class::Message).large_body();
    routes.add_with(send::send, rule)
}
