//! Calls: client-server API, "Voice over IP". Clients talk to each other; where they cannot reach each other, through a TURN
//! server, for which this one hands out credentials.

mod turn;
mod turn_server;

use edge::Routes;

use crate::ClientApi;

pub use self::turn::{Turn, TurnKey};

pub(crate) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes.add(turn_server::turn_server)
}
