//! The endpoints below `/_matrix/media` that the authenticated ones have replaced.
//!
//! Downloads and thumbnails need no token there, so they show only what was stored while they were not frozen
//! (`media.legacy_endpoints`). The others need one, and do what their successors do.

#![expect(deprecated, reason = "they are deprecated for clients")]

use edge::{ApiError, AxumResponse, Call, RawCall, RawJson, Routes, State};
use media::{Asker, Media, Previews, Reach};
use ruma::api::client::media::{
    get_content, get_content_as_filename, get_content_thumbnail, get_media_config,
    get_media_preview,
};

use super::{
    config,
    download::{self, Asked},
    preview_url, thumbnail,
};
use crate::ClientApi;

pub(super) fn list(routes: Routes<ClientApi>) -> Routes<ClientApi> {
    routes
        .add(download)
        .add(download_as)
        .add(thumbnail_of)
        .add(upload_size)
        .add(preview)
}

async fn download(
    State(media): State<Media>,
    call: RawCall<get_content::v3::Request>,
) -> Result<AxumResponse, ApiError> {
    let asked = Asked {
        who: Asker::Anyone,
        server: &call.request.server_name,
        id: &call.request.media_id,
        patience: call.request.timeout_ms,
        reach: reach(call.request.allow_remote),
    };
    download::send(&media, &call.head, asked, None).await
}

async fn download_as(
    State(media): State<Media>,
    call: RawCall<get_content_as_filename::v3::Request>,
) -> Result<AxumResponse, ApiError> {
    let asked = Asked {
        who: Asker::Anyone,
        server: &call.request.server_name,
        id: &call.request.media_id,
        patience: call.request.timeout_ms,
        reach: reach(call.request.allow_remote),
    };
    let name = call.request.filename.clone();
    download::send(&media, &call.head, asked, Some(name)).await
}

async fn thumbnail_of(
    State(media): State<Media>,
    call: RawCall<get_content_thumbnail::v3::Request>,
) -> Result<AxumResponse, ApiError> {
    let request = &call.request;
    let asked = Asked {
        who: Asker::Anyone,
        server: &request.server_name,
        id: &request.media_id,
        patience: request.timeout_ms,
        reach: reach(request.allow_remote),
    };
    let animated = request.animated.unwrap_or_default();
    let ask = thumbnail::ask(
        request.width,
        request.height,
        request.method.as_ref(),
        animated,
    )?;
    thumbnail::send(&media, &call.head, asked, ask).await
}

async fn upload_size(
    State(media): State<Media>,
    _call: Call<get_media_config::v3::Request>,
) -> Result<get_media_config::v3::Response, ApiError> {
    let size = config::upload_size(&media);
    Ok(get_media_config::v3::Response::new(size))
}

async fn preview(
    State(previews): State<Previews>,
    call: Call<get_media_preview::v3::Request>,
) -> Result<RawJson, ApiError> {
    preview_url::send(&previews, &call.request.url).await
}

fn reach(allow_remote: bool) -> Reach {
    if allow_remote {
        Reach::Remote
    } else {
        Reach::Stored
    }
}
