//! `GET /thirdparty/protocols`, `GET /thirdparty/protocol/{protocol}`: client-server API, "Third-party Lookups".

use edge::{ApiError, Call};
use ruma::api::client::thirdparty::{get_protocol, get_protocols};

use super::unknown_protocol;

pub(super) async fn all(
    _: Call<get_protocols::v3::Request>,
) -> Result<get_protocols::v3::Response, ApiError> {
    Ok(get_protocols::v3::Response::new([].into()))
}

pub(super) async fn one(
    _: Call<get_protocol::v3::Request>,
) -> Result<get_protocol::v3::Response, ApiError> {
    Err(unknown_protocol())
}
