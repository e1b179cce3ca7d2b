//! `GET /.well-known/matrix/client`: client-server API, "Server Discovery".

use edge::{ApiError, Call, State};
use ruma::api::client::discovery::discover_homeserver::{HomeserverInfo, Request, Response};

use crate::server::ServerInfo;

pub(crate) async fn well_known(
    State(server): State<ServerInfo>,
    _: Call<Request>,
) -> Result<Response, ApiError> {
    Ok(Response::new(HomeserverInfo::new(
        server.public_base_url().to_owned(),
    )))
}
