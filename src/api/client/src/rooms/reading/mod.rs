//! Client-server API, "Receipts", "Read and unread markers", "Typing Notifications".

mod read_markers;
mod receipt;
mod typing;

use edge::Routes;

use crate::ClientApi;

pub(super) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes
        .add(receipt::receipt)
        .add(read_markers::read_markers)
        .add(typing::typing)
}
