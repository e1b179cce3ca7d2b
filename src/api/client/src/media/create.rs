//! `POST /_matrix/media/v1/create`: a media id before its upload.

use edge::{ApiError, Call, State};
use media::Media;
use ruma::{
    MilliSecondsSinceUnixEpoch, UInt,
    api::client::media::create_mxc_uri::v1::{Request, Response},
};

use super::refusal::refuse_upload;

pub(super) async fn create(
    State(media): State<Media>,
    call: Call<Request>,
) -> Result<Response, ApiError> {
    let reserved = media
        .create(call.caller.number)
        .await
        .map_err(refuse_upload)?;
    let mut response = Response::new(reserved.mxc.uri());
    let expires = UInt::new_saturating(reserved.expires.0);
    response.unused_expires_at = Some(MilliSecondsSinceUnixEpoch(expires));
    Ok(response)
}
