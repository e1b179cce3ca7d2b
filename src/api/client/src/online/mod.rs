//! How many are online, in a room and on the server: `chat.aqueduct.online`, an extension of this
//! server.

mod room;
mod server;

use edge::{ApiError, Routes};
use presence::Presence;

use crate::ClientApi;

/// Rows of a page, where the client does not say how many, and at most.
const USUAL_LIMIT: usize = 100;
const GREATEST_LIMIT: usize = 1000;

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes.add(room::online).add(server::online)
}

/// Without presence these endpoints do not exist.
fn require(presence: &Presence) -> Result<(), ApiError> {
    if presence.is_enabled() {
        Ok(())
    } else {
        Err(ApiError::unrecognized())
    }
}

fn limit(asked: Option<usize>) -> usize {
    asked.unwrap_or(USUAL_LIMIT).clamp(1, GREATEST_LIMIT)
}
