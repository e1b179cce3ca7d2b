//! Keys of this server and, as a notary, of others: server-server API, "Retrieving server keys".

mod query;
mod query_many;
mod server;

use edge::Routes;

use crate::FederationApi;

pub(crate) fn list(routes: Routes<FederationApi>) -> Routes<FederationApi> {
    routes
        .add(server::own_keys)
        .add(query::query)
        .add(query_many::query)
}

/// The answer of both queries: documents that are JSON already.
fn answer(documents: &[String]) -> edge::RawJson {
    edge::RawJson(format!("{{\"server_keys\":[{}]}}", documents.join(",")).into_bytes())
}
