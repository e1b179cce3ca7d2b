//! The errcodes of media's errors.

use std::time::Duration;

use edge::ApiError;
use http::StatusCode;
use media::{DownloadError, PreviewError, ThumbnailError, UploadError};

/// `Retry-After` for a queue that is full.
const BUSY: Duration = Duration::from_secs(2);

pub(super) fn refuse_upload(error: UploadError) -> ApiError {
    match error {
        UploadError::TooLarge { .. } => ApiError::too_large(error),
        UploadError::QuotaBytes { .. } | UploadError::QuotaFiles { .. } => {
            ApiError::new(StatusCode::FORBIDDEN, "M_USER_LIMIT_EXCEEDED", error)
        }
        UploadError::TooMany => ApiError::limit_exceeded(BUSY),
        UploadError::Unknown => ApiError::not_found(error),
        UploadError::NotOwner | UploadError::Refused => ApiError::forbidden(error),
        UploadError::Exists => {
            ApiError::new(StatusCode::CONFLICT, "M_CANNOT_OVERWRITE_MEDIA", error)
        }
        UploadError::Cut => ApiError::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", error),
        UploadError::Scan(_) | UploadError::Full => ApiError::unavailable(error),
        UploadError::Io(error) => ApiError::internal(error),
        UploadError::Store(error) => error.into(),
    }
}

pub(super) fn refuse_download(error: DownloadError) -> ApiError {
    match error {
        // The spec has no status for a server that cannot be reached; clients know this one from other servers.
        DownloadError::NotFound | DownloadError::Unreachable => ApiError::not_found(error),
        DownloadError::NotYetUploaded => {
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, "M_NOT_YET_UPLOADED", error)
        }
        DownloadError::RemoteTooLarge => {
            ApiError::new(StatusCode::BAD_GATEWAY, "M_TOO_LARGE", error)
        }
        DownloadError::Thumbnail(error) => refuse_thumbnail(&error, StatusCode::PAYLOAD_TOO_LARGE),
        DownloadError::Io(error) => ApiError::internal(error),
        DownloadError::Store(error) => error.into(),
    }
}

/// `too_large` is the status for an image that is too large: another one for those of other servers.
pub(super) fn refuse_thumbnail(error: &ThumbnailError, too_large: StatusCode) -> ApiError {
    match error {
        ThumbnailError::TooLarge => ApiError::new(too_large, "M_TOO_LARGE", error),
        ThumbnailError::NotAnImage | ThumbnailError::Damaged(_) => {
            ApiError::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", error)
        }
        ThumbnailError::Size => ApiError::invalid_param(error),
        ThumbnailError::Busy => ApiError::limit_exceeded(BUSY),
    }
}

pub(super) fn refuse_preview(error: PreviewError) -> ApiError {
    match error {
        PreviewError::Disabled => ApiError::unrecognized(),
        PreviewError::Url => ApiError::invalid_param(error),
        PreviewError::Denied => ApiError::forbidden(error),
        PreviewError::Busy => ApiError::limit_exceeded(BUSY),
        PreviewError::Unreachable(_) => ApiError::new(
            StatusCode::BAD_GATEWAY,
            "M_UNKNOWN",
            "The URL cannot be fetched",
        ),
        PreviewError::Store(error) => error.into(),
    }
}
