//! `GET /thirdparty/location/{protocol}`, `GET /thirdparty/location`: client-server API, "Third-party Lookups".

use edge::{ApiError, Call};
use ruma::api::client::thirdparty::{get_location_for_protocol, get_location_for_room_alias};

use super::unknown_protocol;

pub(super) async fn of_protocol(
    _: Call<get_location_for_protocol::v3::Request>,
) -> Result<get_location_for_protocol::v3::Response, ApiError> {
    Err(unknown_protocol())
}

/// No room leads to another network.
pub(super) async fn of_alias(
    _: Call<get_location_for_room_alias::v3::Request>,
) -> Result<get_location_for_room_alias::v3::Response, ApiError> {
    Ok(get_location_for_room_alias::v3::Response::new(Vec::new()))
}
