//! `GET /media/thumbnail/{serverName}/{mediaId}`.

use edge::{ApiError, AxumResponse, RawCall, State};
use http::{StatusCode, request::Parts};
use media::{Asker, DownloadError, Media, Method, Reach, ThumbnailAsk};
use ruma::{
    UInt, api::client::authenticated_media::get_content_thumbnail::v1::Request,
    media::Method as Wanted,
};

use super::{
    answer,
    download::Asked,
    refusal::{refuse_download, refuse_thumbnail},
};

pub(super) async fn thumbnail(
    State(media): State<Media>,
    call: RawCall<Request>,
) -> Result<AxumResponse, ApiError> {
    let request = &call.request;
    let asked = Asked {
        who: Asker::User(call.caller.number),
        server: &request.server_name,
        id: &request.media_id,
        patience: request.timeout_ms,
        reach: Reach::Remote,
    };
    let animated = request.animated.unwrap_or_default();
    let ask = ask(
        request.width,
        request.height,
        request.method.as_ref(),
        animated,
    )?;
    send(&media, &call.head, asked, ask).await
}

pub(super) fn ask(
    width: UInt,
    height: UInt,
    method: Option<&Wanted>,
    animated: bool,
) -> Result<ThumbnailAsk, ApiError> {
    let length = |length: UInt| u32::try_from(u64::from(length)).unwrap_or(u32::MAX);
    let method = match method {
        None | Some(Wanted::Scale) => Method::Scale,
        Some(Wanted::Crop) => Method::Crop,
        Some(_) => return Err(ApiError::invalid_param("`method` must be crop or scale")),
    };
    Ok(ThumbnailAsk {
        width: length(width),
        height: length(height),
        method,
        animated,
    })
}

pub(super) async fn send(
    media: &Media,
    head: &Parts,
    asked: Asked<'_>,
    ask: ThumbnailAsk,
) -> Result<AxumResponse, ApiError> {
    let mxc = asked.mxc()?;
    let made = media.thumbnail(asked.wanted(&mxc), ask).await;
    let made = made.map_err(|error| match error {
        DownloadError::Thumbnail(error) if !media.is_local(&mxc) => {
            refuse_thumbnail(&error, StatusCode::BAD_GATEWAY)
        }
        error => refuse_download(error),
    })?;
    let bits = media.read_thumbnail(&made).await.map_err(refuse_download)?;
    answer::thumbnail(head, &made.content_type, made.size, made.hash, bits)
}
