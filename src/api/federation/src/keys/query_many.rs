//! `POST /_matrix/key/v2/query`: server-server API, "Querying Keys Through Another Server".

use std::sync::Arc;

use database::{Clock, Millis};
use edge::{ApiError, Call, RawJson, State};
use federation::Federation;
use ruma::api::federation::discovery::get_remote_server_keys_batch::v2::Request;

/// Documents hold all keys of a server, so the ids of the wanted keys only say until when they must be valid.
pub(super) async fn query(
    State(federation): State<Federation>,
    State(clock): State<Arc<dyn Clock>>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    let now = clock.now();
    let queries = call.request.server_keys.into_iter().map(|(server, keys)| {
        let moments = keys
            .values()
            .filter_map(|criteria| criteria.minimum_valid_until_ts);
        let latest = moments.map(|moment| Millis(moment.get().into())).max();
        (server, latest.unwrap_or(now))
    });
    let documents = federation
        .server_keys()
        .as_notary(queries.collect())
        .await?;
    Ok(super::answer(&documents))
}
