//! The content repository: files that users upload, media of other servers, thumbnails and previews
//! of URLs.
//!
//! `Media` is the handle; everything is a method of it, in the file that the subject names.
//! Contents are stored once, by their SHA-256 hash, in files or in an object store ([`storage`]);
//! rows name them and count who refers to them. A content is on disk before the first row names it,
//! and is deleted after the last row is gone.

mod access;
mod backup;
mod check;
mod client;
mod config;
mod delete;
mod download;
mod error;
mod federated;
mod id;
mod media;
mod moving;
mod previews;
mod remote;
mod reserve;
mod retention;
mod rows;
mod scanner;
pub mod storage;
pub mod tables;
pub mod thumbnail;
mod turns;
mod upload;

pub use crate::{
    access::{Access, Asker},
    backup::restore_files,
    check::Found,
    client::{ClientBody, ClientRequest, ClientResponse, HttpClient, Redirects},
    config::{MediaConfig, Retention, ScanFailure},
    delete::{Selection, Usage},
    download::{Download, Reach, Wanted},
    error::{DownloadError, ThumbnailError, UploadError},
    federated::{FederatedMedia, GuardedClient},
    id::{ContentHash, Mxc},
    media::{Media, MediaNeeds, OpenError},
    previews::{PreviewError, PreviewLimits, Previews},
    remote::{RemoteError, RemoteFile, RemoteSource},
    reserve::Reserved,
    scanner::{CommandScanner, HttpScanner, ScanVerdict, Scanned, Scanner},
    tables::{Amount, Place, Verdict, tables},
    thumbnail::{Method, Thumbnail, ThumbnailAsk, ThumbnailLimits},
    upload::{Broken, FileInfo, Incoming, Target},
};
