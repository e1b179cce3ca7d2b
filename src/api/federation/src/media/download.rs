//! `GET /_matrix/federation/v1/media/download/{mediaId}`: server-server API, "Content Repository".

use std::sync::Arc;

use ::media::{Asker, Media, Reach, Wanted};
use database::Random;
use edge::{ApiError, AxumResponse, Call, State};
use ruma::api::federation::authenticated_media::get_content::v1::Request;

use super::{answer, mxc, refuse};

pub(super) async fn download(
    State(media): State<Media>,
    State(random): State<Arc<dyn Random>>,
    call: Call<Request>,
) -> Result<AxumResponse, ApiError> {
    let mxc = mxc(media.server_name(), &call.request.media_id)?;
    let wanted = Wanted {
        who: Asker::Server,
        mxc: &mxc,
        patience: call.request.timeout_ms,
        reach: Reach::Stored,
    };
    let download = media.download(wanted).await.map_err(refuse)?;
    if let Some(url) = download.redirect().await.map_err(refuse)? {
        return answer::parts(&*random, answer::Part::Location(url));
    }
    let part = answer::Part::File {
        content_type: download.info.content_type.clone(),
        name: download.info.file_name.clone(),
        size: download.size,
        bits: download.read(None).await.map_err(refuse)?,
    };
    answer::parts(&*random, part)
}
