//! What can go wrong with media, in the words of the domain. The api crate turns each into an
//! errcode.

use std::io;

use database::StoreError;

/// Why a file was not stored.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("files larger than {limit} bytes are not stored")]
    TooLarge { limit: u64 },
    #[error("you may not store more than {limit} bytes")]
    QuotaBytes { limit: u64 },
    #[error("you may not store more than {limit} files")]
    QuotaFiles { limit: u64 },
    /// This user uploads, or has reserved, as many as one may at once.
    #[error("too many unfinished uploads")]
    TooMany,
    /// Never reserved, or expired.
    #[error("there is no such media id to upload to")]
    Unknown,
    #[error("this media id is reserved by somebody else")]
    NotOwner,
    #[error("media that was uploaded cannot be overwritten")]
    Exists,
    #[error("the body ended early")]
    Cut,
    /// By the scanner or by an earlier verdict.
    #[error("this file is not allowed")]
    Refused,
    #[error("the file could not be scanned")]
    Scan(String),
    #[error("there is no room left for files")]
    Full,
    #[error("the file could not be stored: {0}")]
    Io(io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a file, or its thumbnail, is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("there is no such media")]
    NotFound,
    #[error("this media has not been uploaded yet")]
    NotYetUploaded,
    /// The other server sends more than is stored here.
    #[error("this media of another server is too large")]
    RemoteTooLarge,
    #[error("the server that has this media cannot be reached")]
    Unreachable,
    #[error(transparent)]
    Thumbnail(#[from] ThumbnailError),
    #[error("the file cannot be read: {0}")]
    Io(io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why there is no thumbnail of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThumbnailError {
    #[error("thumbnails are made of JPEG, PNG, GIF and WebP images only")]
    NotAnImage,
    #[error("the image is too large for a thumbnail")]
    TooLarge,
    #[error("the image is damaged: {0}")]
    Damaged(String),
    #[error("thumbnails have at least one pixel each way")]
    Size,
    /// More images wait for their thumbnail than may queue.
    #[error("too many thumbnails are being made")]
    Busy,
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}

impl From<io::Error> for DownloadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            _ => Self::Io(error),
        }
    }
}
