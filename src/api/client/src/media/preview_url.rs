//! `GET /media/preview_url`.

use edge::{ApiError, Call, RawJson, State};
use media::Previews;
use ruma::api::client::authenticated_media::get_media_preview::v1::Request;

use super::refusal::refuse_preview;

pub(super) async fn preview_url(
    State(previews): State<Previews>,
    call: Call<Request>,
) -> Result<RawJson, ApiError> {
    send(&previews, &call.request.url).await
}

pub(super) async fn send(previews: &Previews, url: &str) -> Result<RawJson, ApiError> {
    let preview = previews.preview(url).await.map_err(refuse_preview)?;
    Ok(RawJson(preview.into_bytes()))
}
