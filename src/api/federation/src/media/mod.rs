//! Media of this server for others: server-server API, "Content Repository".

mod answer;
mod download;
mod thumbnail;

use ::media::{DownloadError, Mxc, ThumbnailError};
use edge::{ApiError, Routes};
use http::StatusCode;
use ruma::ServerName;

use crate::FederationApi;

pub(crate) fn list(routes: Routes<FederationApi>) -> Routes<FederationApi> {
    routes.add(download::download).add(thumbnail::thumbnail)
}

/// What cannot be a media id names nothing.
fn mxc(server: &ServerName, id: &str) -> Result<Mxc, ApiError> {
    Mxc::new(server, id).ok_or_else(|| ApiError::not_found("there is no such media"))
}

fn refuse(error: DownloadError) -> ApiError {
    match error {
        DownloadError::NotFound | DownloadError::Unreachable => ApiError::not_found(error),
        DownloadError::NotYetUploaded => {
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, "M_NOT_YET_UPLOADED", error)
        }
        DownloadError::RemoteTooLarge => {
            ApiError::new(StatusCode::BAD_GATEWAY, "M_TOO_LARGE", error)
        }
        DownloadError::Thumbnail(error) => refuse_thumbnail(&error),
        DownloadError::Io(error) => ApiError::internal(error),
        DownloadError::Store(error) => error.into(),
    }
}

fn refuse_thumbnail(error: &ThumbnailError) -> ApiError {
    match error {
        ThumbnailError::TooLarge => ApiError::too_large(error),
        ThumbnailError::NotAnImage | ThumbnailError::Damaged(_) => {
            ApiError::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", error)
        }
        ThumbnailError::Size => ApiError::invalid_param(error),
        ThumbnailError::Busy => ApiError::unavailable(error),
    }
}
