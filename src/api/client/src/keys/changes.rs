//! `GET /keys/changes`: client-server API, "Key management". `to` is only a hint: what has changed until now is told.

use edge::{ApiError, Call, State};
use rooms_history::SyncToken;
use ruma::api::client::keys::get_key_changes::v3::{Request, Response};
use sync::Sync;

use crate::sync::refuse;

pub(crate) async fn changes(
    State(sync): State<Sync>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let token = |text: &str| text.parse::<SyncToken>().map_err(ApiError::invalid_param);
    let from = token(&call.request.from)?;
    token(&call.request.to)?;
    let lists = sync
        .device_lists(call.caller.number, from.stamp)
        .await
        .map_err(refuse)?;
    Ok(Response::new(lists.changed, lists.left))
}
