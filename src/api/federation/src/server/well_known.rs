//! `GET /.well-known/matrix/server`: server-server API, "Resolving server names".

use edge::{ApiError, Call, State};
use ruma::api::federation::discovery::discover_homeserver::{Request, Response};

use super::Announcement;

pub(super) async fn well_known(
    State(announcement): State<Announcement>,
    _call: Call<Request>,
) -> Result<Response, ApiError> {
    let delegated = announcement.delegated;
    let delegated =
        delegated.ok_or_else(|| ApiError::not_found("This server does not delegate"))?;
    Ok(Response::new(delegated))
}
