//! `GET /media/download/{serverName}/{mediaId}` and `.../{fileName}`.

use std::time::Duration;

use edge::{ApiError, AxumResponse, RawCall, State};
use http::request::Parts;
use media::{Asker, Media, Mxc, Reach, Wanted};
use ruma::{
    ServerName,
    api::client::authenticated_media::{get_content, get_content_as_filename},
};

use super::{answer, refusal::refuse_download};

/// Which file, and for whom.
pub(super) struct Asked<'a> {
    pub(super) who: Asker,
    pub(super) server: &'a ServerName,
    pub(super) id: &'a str,
    pub(super) patience: Duration,
    pub(super) reach: Reach,
}

pub(super) async fn download(
    State(media): State<Media>,
    call: RawCall<get_content::v1::Request>,
) -> Result<AxumResponse, ApiError> {
    let asked = Asked {
        who: Asker::User(call.caller.number),
        server: &call.request.server_name,
        id: &call.request.media_id,
        patience: call.request.timeout_ms,
        reach: Reach::Remote,
    };
    send(&media, &call.head, asked, None).await
}

pub(super) async fn download_as(
    State(media): State<Media>,
    call: RawCall<get_content_as_filename::v1::Request>,
) -> Result<AxumResponse, ApiError> {
    let asked = Asked {
        who: Asker::User(call.caller.number),
        server: &call.request.server_name,
        id: &call.request.media_id,
        patience: call.request.timeout_ms,
        reach: Reach::Remote,
    };
    send(
        &media,
        &call.head,
        asked,
        Some(call.request.filename.clone()),
    )
    .await
}

pub(super) async fn send(
    media: &Media,
    head: &Parts,
    asked: Asked<'_>,
    name: Option<String>,
) -> Result<AxumResponse, ApiError> {
    let mxc = asked.mxc()?;
    let found = media.download(asked.wanted(&mxc)).await;
    answer::file(head, found.map_err(refuse_download)?, name).await
}

impl Asked<'_> {
    /// What cannot be a media id names nothing.
    pub(super) fn mxc(&self) -> Result<Mxc, ApiError> {
        let mxc = Mxc::new(self.server, self.id);
        mxc.ok_or_else(|| ApiError::not_found("there is no such media"))
    }

    pub(super) fn wanted<'a>(&self, mxc: &'a Mxc) -> Wanted<'a> {
        Wanted {
            who: self.who,
            mxc,
            patience: self.patience,
            reach: self.reach,
        }
    }
}
