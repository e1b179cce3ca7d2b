//! `GET /_matrix/federation/v1/version`: server-server API, "Server implementation".

use edge::{ApiError, Call, State};
use ruma::api::federation::discovery::get_server_version::v1::{Request, Response, Server};

use super::Announcement;

pub(super) async fn version(
    State(announcement): State<Announcement>,
    _call: Call<Request>,
) -> Result<Response, ApiError> {
    let mut server = Server::new();
    server.name = Some("Aqueduct".to_owned());
    server.version = Some(announcement.version);
    let mut response = Response::new();
    response.server = Some(server);
    Ok(response)
}
