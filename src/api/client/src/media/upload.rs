//! `POST /_matrix/media/v3/upload`, and `PUT /_matrix/media/v3/upload/{serverName}/{mediaId}` to an id that was created before.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use edge::{ApiError, BodyStream, Empty, RawCall, State};
use futures_util::{Stream, stream};
use http::{HeaderMap, header::CONTENT_LENGTH};
use media::{Broken, FileInfo, Incoming, Media, Mxc, Target, UploadError};
use ruma::api::client::media::{create_content, create_content_async};

use super::refusal::refuse_upload;
use crate::media::answer::valid_content_type;

/// What broke a body off.
type Cause = Arc<Mutex<Option<ApiError>>>;

pub(super) async fn upload(
    State(media): State<Media>,
    call: RawCall<create_content::v3::Request>,
) -> Result<create_content::v3::Response, ApiError> {
    let info = info(call.request.content_type, call.request.filename);
    let owner = call.caller.number;
    let size = announced(&call.head.headers);
    let mxc = store(&media, owner, Target::New, info, size, call.body).await?;
    Ok(create_content::v3::Response::new(mxc.uri()))
}

pub(super) async fn upload_to(
    State(media): State<Media>,
    call: RawCall<create_content_async::v3::Request>,
) -> Result<Empty, ApiError> {
    let request = call.request;
    if request.server_name != *media.server_name() {
        return Err(ApiError::not_found(
            "there is no such media id to upload to",
        ));
    }
    let info = info(request.content_type, request.filename);
    let target = Target::Reserved(request.media_id);
    let size = announced(&call.head.headers);
    store(&media, call.caller.number, target, info, size, call.body).await?;
    Ok(Empty)
}

async fn store(
    media: &Media,
    owner: database::UserNumber,
    target: Target,
    info: FileInfo,
    size: Option<u64>,
    body: BodyStream,
) -> Result<Mxc, ApiError> {
    let cause = Cause::default();
    let bits = bits(body, cause.clone());
    let stored = media
        .upload(owner, target, Incoming { info, size, bits })
        .await;
    stored.map_err(|error| match error {
        UploadError::Cut => {
            let cause = cause.lock().unwrap_or_else(PoisonError::into_inner).take();
            cause.unwrap_or_else(|| refuse_upload(UploadError::Cut))
        }
        error => refuse_upload(error),
    })
}

fn bits(body: BodyStream, cause: Cause) -> impl Stream<Item = Result<Bytes, Broken>> + Send {
    stream::unfold((body, cause), |(mut body, cause)| async move {
        match body.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), (body, cause))),
            Ok(None) => None,
            Err(error) => {
                *cause.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                Some((Err(Broken), (body, cause)))
            }
        }
    })
}

fn info(content_type: Option<String>, file_name: Option<String>) -> FileInfo {
    FileInfo {
        content_type: content_type.filter(|text| valid_content_type(text)),
        file_name,
    }
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
