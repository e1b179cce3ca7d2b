//! `GET /devices`: client-server API, "Device Management".

use edge::{ApiError, Call, State};
use ruma::api::client::device::get_devices::v3::{Request, Response};
use users::Users;

use crate::devices::shown;

pub(crate) async fn list_devices(
    State(users): State<Users>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let db = users.snapshot().await?;
    let entries = ::devices::list(&db, call.caller.number).await?;
    Ok(Response::new(entries.into_iter().map(shown).collect()))
}
