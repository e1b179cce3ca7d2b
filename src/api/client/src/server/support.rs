//! `GET /.well-known/matrix/support`: client-server API, "Server Discovery".

use edge::{ApiError, Call, State};
use ruma::api::client::discovery::discover_support::{Request, Response};

use crate::server::ServerInfo;

pub(crate) async fn support(
    State(server): State<ServerInfo>,
    _: Call<Request>,
) -> Result<Response, ApiError> {
    let support = server.support();
    if support.contacts.is_empty() && support.page.is_none() {
        return Err(ApiError::not_found("This server names no support"));
    }
    let mut response = Response::with_contacts(support.contacts.clone());
    response.support_page.clone_from(&support.page);
    Ok(response)
}
