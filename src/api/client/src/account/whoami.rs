//! `GET /account/whoami`: client-server API, "Current account information".

use edge::{ApiError, Call};
use ruma::api::client::account::whoami::v3::{Request, Response};

pub(crate) async fn whoami(call: Call<Request>) -> Result<Response, ApiError> {
    let mut response = Response::new(call.caller.user_id.clone(), false);
    response.device_id = Some(call.caller.device_id.clone());
    Ok(response)
}
