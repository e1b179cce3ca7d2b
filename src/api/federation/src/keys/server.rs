//! `GET /_matrix/key/v2/server`: server-server API, "Publishing Keys".

use edge::{ApiError, Call, RawJson, State};
use federation::Federation;
use ruma::api::federation::discovery::get_server_keys::v2::Request;

pub(super) async fn own_keys(
    State(federation): State<Federation>,
    _call: Call<Request>,
) -> Result<RawJson, ApiError> {
    Ok(RawJson(federation.key_document().as_bytes().to_vec()))
}
