//! `POST /user_directory/search`: client-server API, "User Directory".

use edge::{ApiError, Call, State};
use rooms_directory::RoomDirectory;
use ruma::api::client::user_directory::search_users::v3::{Request, Response, User};

/// Longer than any name.
const TERM_BYTES: usize = 2_000;

pub(super) async fn search(
    State(rooms): State<RoomDirectory>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    if call.request.search_term.len() > TERM_BYTES {
        return Err(ApiError::invalid_param("This search term is too long"));
    }
    let limit = usize::try_from(u64::from(call.request.limit)).unwrap_or(usize::MAX);
    let found = rooms
        .search_users(call.caller.number, &call.request.search_term, limit)
        .await?;
    let results = found.results.into_iter().map(|found| {
        let mut user = User::new(found.user_id);
        user.display_name = found.display_name;
        user.avatar_url = found.avatar_url.map(Into::into);
        user
    });
    Ok(Response::new(results.collect(), found.limited))
}
