//! `GET /thirdparty/user/{protocol}`, `GET /thirdparty/user`: client-server API, "Third-party Lookups".

use edge::{ApiError, Call};
use ruma::api::client::thirdparty::{get_user_for_protocol, get_user_for_user_id};

use super::unknown_protocol;

pub(super) async fn of_protocol(
    _: Call<get_user_for_protocol::v3::Request>,
) -> Result<get_user_for_protocol::v3::Response, ApiError> {
    Err(unknown_protocol())
}

/// Nobody stands for a user of another network.
pub(super) async fn of_user(
    _: Call<get_user_for_user_id::v3::Request>,
) -> Result<get_user_for_user_id::v3::Response, ApiError> {
    Ok(get_user_for_user_id::v3::Response::new(Vec::new()))
}
