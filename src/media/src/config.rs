//! What the operator decides about media.

use std::time::Duration;

use ruma::OwnedServerName;

use crate::{tables::Place, thumbnail::ThumbnailLimits};

#[derive(Clone, Debug)]
pub struct MediaConfig {
    pub server_name: OwnedServerName,
    /// Bytes of one upload.
    pub max_upload_size: u64,
    /// How long a created media id waits for its upload.
    pub unused_expires_after: Duration,
    /// Created media ids of one user that wait for their upload.
    pub reserved_per_user: u64,
    /// Uploads of one user at once.
    pub uploads_per_user: u32,
    /// Uploads of all users at once.
    pub uploads: usize,
    /// What one user may store.
    pub quota_bytes: Option<u64>,
    pub quota_files: Option<u64>,
    /// Bytes of one file of another server.
    pub max_remote_size: u64,
    /// Files that are fetched from other servers at once.
    pub fetches: usize,
    pub local: Retention,
    pub remote: Retention,
    /// Whether what is stored now may be had through the endpoints without authentication.
    pub stores_open: bool,
    pub thumbnails: ThumbnailLimits,
    /// Where new contents go.
    pub place: Place,
    /// What happens to a file when the scanner fails.
    pub scan_failure: ScanFailure,
}

/// How long media is kept. `None` is for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct Retention {
    pub age: Option<Duration>,
    pub unread: Option<Duration>,
    /// Bytes; above, what was read longest ago goes first.
    pub space: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanFailure {
    /// The file is refused.
    Refuse,
    /// The file is stored.
    Accept,
}

impl MediaConfig {
    pub fn new(server_name: OwnedServerName) -> Self {
        Self {
            server_name,
            max_upload_size: 100 << 20,
            unused_expires_after: Duration::from_hours(24),
            reserved_per_user: 100,
            uploads_per_user: 20,
            uploads: 1000,
            quota_bytes: None,
            quota_files: None,
            max_remote_size: 100 << 20,
            fetches: 64,
            local: Retention::default(),
            remote: Retention {
                age: None,
                unread: Some(Duration::from_hours(90 * 24)),
                space: Some(10 << 30),
            },
            stores_open: false,
            thumbnails: ThumbnailLimits::default(),
            place: Place::Files,
            scan_failure: ScanFailure::Refuse,
        }
    }
}
