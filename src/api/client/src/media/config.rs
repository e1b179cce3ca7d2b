//! `GET /media/config`.

use edge::{ApiError, Call, State};
use media::Media;
use ruma::{
    UInt,
    api::client::authenticated_media::get_media_config::v1::{Request, Response},
};

pub(super) async fn config(
    State(media): State<Media>,
    _call: Call<Request>,
) -> Result<Response, ApiError> {
    Ok(Response::new(upload_size(&media)))
}

pub(super) fn upload_size(media: &Media) -> UInt {
    UInt::new_saturating(media.config().max_upload_size)
}
