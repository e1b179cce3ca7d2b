//! `GET /_matrix/federation/v1/media/thumbnail/{mediaId}`: server-server API, "Content Repository".

use std::sync::Arc;

use ::media::{Asker, Media, Method, Reach, ThumbnailAsk, Wanted};
use database::Random;
use edge::{ApiError, AxumResponse, Call, State};
use ruma::{
    UInt, api::federation::authenticated_media::get_content_thumbnail::v1::Request,
    media::Method as Asked,
};

use super::{answer, mxc, refuse};

pub(super) async fn thumbnail(
    State(media): State<Media>,
    State(random): State<Arc<dyn Random>>,
    call: Call<Request>,
) -> Result<AxumResponse, ApiError> {
    let request = &call.request;
    let mxc = mxc(media.server_name(), &request.media_id)?;
    let wanted = Wanted {
        who: Asker::Server,
        mxc: &mxc,
        patience: request.timeout_ms,
        reach: Reach::Stored,
    };
    let length = |length: UInt| u32::try_from(u64::from(length)).unwrap_or(u32::MAX);
    let ask = ThumbnailAsk {
        width: length(request.width),
        height: length(request.height),
        method: match &request.method {
            None | Some(Asked::Scale) => Method::Scale,
            Some(Asked::Crop) => Method::Crop,
            Some(_) => return Err(ApiError::invalid_param("`method` must be crop or scale")),
        },
        animated: request.animated.unwrap_or_default(),
    };
    let made = media.thumbnail(wanted, ask).await.map_err(refuse)?;
    let bits = media.read_thumbnail(&made).await.map_err(refuse)?;
    let part = answer::Part::File {
        content_type: Some(made.content_type),
        name: None,
        size: Some(made.size),
        bits,
    };
    answer::parts(&*random, part)
}
