//! `[media]`: files that users upload and that other servers have.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use media::{
    MediaConfig, Place, PreviewLimits, Retention as Kept, ScanFailure, ThumbnailLimits,
    storage::{Blocking, FileSystem},
};
use ruma::OwnedServerName;
use serde::Deserialize;

use super::{
    secret::Secret,
    units::{Age, Bytes, Seconds},
};

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Media {
    path: Option<PathBuf>,
    storage: StorageKind,
    max_upload_size: Bytes,
    unused_expires_after: Age,
    reserved_per_user: u64,
    uploads_per_user: u32,
    uploads: usize,
    user_size: Bytes,
    user_files: u64,
    max_remote_size: Bytes,
    remote_fetches: usize,
    legacy_endpoints: bool,
    retention: Retention,
    thumbnails: Thumbnails,
    previews: Previews,
    scanner: Scanner,
    s3: S3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum StorageKind {
    Files,
    S3,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Retention {
    local_age: Age,
    local_unread: Age,
    local_space: Bytes,
    remote_age: Age,
    remote_unread: Age,
    remote_space: Bytes,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Thumbnails {
    threads: usize,
    memory: Bytes,
    pixels: u64,
    timeout: Seconds,
    queue: usize,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Previews {
    enabled: bool,
    page_size: Bytes,
    image_size: Bytes,
    refresh_after: Age,
    timeout: Seconds,
    fetches: usize,
    allow: Vec<String>,
    deny: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Scanner {
    command: Vec<String>,
    url: Option<String>,
    timeout: Seconds,
    on_failure: OnFailure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnFailure {
    Refuse,
    Accept,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct S3 {
    endpoint: Option<String>,
    bucket: Option<String>,
    region: Option<String>,
    access_key: Option<String>,
    secret_key: Option<Secret>,
    redirect: bool,
}

impl Default for Media {
    fn default() -> Self {
        let usual = MediaConfig::new(ruma::server_name!("localhost").to_owned());
        Self {
            path: None,
            storage: StorageKind::Files,
            max_upload_size: Bytes(usual.max_upload_size),
            unused_expires_after: Age(usual.unused_expires_after),
            reserved_per_user: usual.reserved_per_user,
            uploads_per_user: usual.uploads_per_user,
            uploads: usual.uploads,
            user_size: Bytes(0),
            user_files: 0,
            max_remote_size: Bytes(usual.max_remote_size),
            remote_fetches: usual.fetches,
            legacy_endpoints: false,
            retention: Retention::from(&usual),
            thumbnails: Thumbnails::from(&usual.thumbnails),
            previews: Previews::from(&PreviewLimits::default()),
            scanner: Scanner {
                command: Vec::new(),
                url: None,
                timeout: Seconds(60),
                on_failure: OnFailure::Refuse,
            },
            s3: S3::default(),
        }
    }
}

impl From<&MediaConfig> for Retention {
    fn from(config: &MediaConfig) -> Self {
        let age = |age: Option<std::time::Duration>| Age(age.unwrap_or_default());
        let space = |space: Option<u64>| Bytes(space.unwrap_or_default());
        Self {
            local_age: age(config.local.age),
            local_unread: age(config.local.unread),
            local_space: space(config.local.space),
            remote_age: age(config.remote.age),
            remote_unread: age(config.remote.unread),
            remote_space: space(config.remote.space),
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Media::default().retention
    }
}

impl From<&ThumbnailLimits> for Thumbnails {
    fn from(limits: &ThumbnailLimits) -> Self {
        Self {
            threads: limits.threads,
            memory: Bytes(limits.memory),
            pixels: limits.pixels,
            timeout: Seconds(u32::try_from(limits.time.as_secs()).unwrap_or(u32::MAX)),
            queue: limits.queue,
        }
    }
}

impl Default for Thumbnails {
    fn default() -> Self {
        Self::from(&ThumbnailLimits::default())
    }
}

impl From<&PreviewLimits> for Previews {
    fn from(limits: &PreviewLimits) -> Self {
        Self {
            enabled: false,
            page_size: Bytes(limits.page_size),
            image_size: Bytes(limits.image_size),
            refresh_after: Age(limits.age),
            timeout: Seconds(u32::try_from(limits.time.as_secs()).unwrap_or(u32::MAX)),
            fetches: limits.fetches,
            allow: limits.allow.clone(),
            deny: limits.deny.clone(),
        }
    }
}

impl Default for Previews {
    fn default() -> Self {
        Self::from(&PreviewLimits::default())
    }
}

impl Default for Scanner {
    fn default() -> Self {
        Media::default().scanner
    }
}

impl Media {
    /// Where files are, for a database at `database`.
    pub(crate) fn path(&self, database: &Path) -> PathBuf {
        self.path.clone().unwrap_or_else(|| {
            let mut path = database.to_owned().into_os_string();
            path.push("-media");
            path.into()
        })
    }

    pub(crate) fn config(&self, server_name: OwnedServerName) -> MediaConfig {
        let some = |limit: u64| (limit > 0).then_some(limit);
        let kept = &self.retention;
        MediaConfig {
            max_upload_size: self.max_upload_size.0,
            unused_expires_after: self.unused_expires_after.0,
            reserved_per_user: self.reserved_per_user,
            uploads_per_user: self.uploads_per_user,
            uploads: self.uploads,
            quota_bytes: some(self.user_size.0),
            quota_files: some(self.user_files),
            max_remote_size: self.max_remote_size.0,
            fetches: self.remote_fetches,
            local: Kept {
                age: kept.local_age.limit(),
                unread: kept.local_unread.limit(),
                space: some(kept.local_space.0),
            },
            remote: Kept {
                age: kept.remote_age.limit(),
                unread: kept.remote_unread.limit(),
                space: some(kept.remote_space.0),
            },
            stores_open: self.legacy_endpoints,
            thumbnails: self.thumbnails.limits(),
            place: match self.storage {
                StorageKind::Files => Place::Files,
                StorageKind::S3 => Place::Objects,
            },
            scan_failure: match self.scanner.on_failure {
                OnFailure::Refuse => ScanFailure::Refuse,
                OnFailure::Accept => ScanFailure::Accept,
            },
            ..MediaConfig::new(server_name)
        }
    }

    pub(crate) fn previews(&self) -> PreviewLimits {
        let domains = |list: &[String]| list.iter().map(|name| name.to_lowercase()).collect();
        PreviewLimits {
            page_size: self.previews.page_size.0,
            image_size: self.previews.image_size.0,
            age: self.previews.refresh_after.0,
            time: self.previews.timeout.into(),
            fetches: self.previews.fetches,
            allow: domains(&self.previews.allow),
            deny: domains(&self.previews.deny),
        }
    }

    /// Bytes of the largest file that is fetched.
    pub(crate) fn most_bytes(&self) -> u64 {
        let previews = self.previews.page_size.0.max(self.previews.image_size.0);
        self.max_remote_size.0.max(previews)
    }

    pub(crate) fn has_previews(&self) -> bool {
        self.previews.enabled
    }

    /// `None` where nothing scans files.
    pub(crate) fn scanner(
        &self,
        client: Arc<dyn media::HttpClient>,
        files: Arc<dyn FileSystem>,
        blocking: Blocking,
    ) -> Option<Arc<dyn media::Scanner>> {
        let timeout = self.scanner.timeout.into();
        if let Some(url) = self.scanner_url() {
            return Some(Arc::new(media::HttpScanner {
                url,
                timeout,
                client,
                files,
                blocking,
            }));
        }
        let command = self.scanner.command.clone();
        if command.is_empty() {
            return None;
        }
        Some(Arc::new(media::CommandScanner { command, timeout }))
    }

    fn scanner_url(&self) -> Option<http::Uri> {
        let url: http::Uri = self.scanner.url.as_deref()?.parse().ok()?;
        matches!(url.scheme_str(), Some("http" | "https")).then_some(url)
    }

    /// What is wrong with the settings together.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let limits = [
            self.max_upload_size.0,
            self.reserved_per_user,
            self.uploads_per_user.into(),
            self.uploads as u64,
            self.remote_fetches as u64,
            self.thumbnails.threads as u64,
            self.thumbnails.memory.0,
            self.thumbnails.pixels,
            self.scanner.timeout.0.into(),
            self.previews.fetches as u64,
        ];
        let uses_s3 = self.storage == StorageKind::S3 || self.s3.bucket.is_some();
        let checks = [
            (
                !limits.contains(&0),
                "of `[media]`, only quotas, ages and spaces may be 0, which means no limit",
            ),
            (!uses_s3, "`media.s3` is not supported yet"),
            (
                self.scanner.url.is_none() || self.scanner_url().is_some(),
                "`media.scanner.url` must be an http or https URL",
            ),
            (
                self.scanner.url.is_none() || self.scanner.command.is_empty(),
                "`media.scanner` has a command or a URL, not both",
            ),
        ];
        let wrong = checks.into_iter().filter(|(is_right, _)| !is_right);
        wrong.map(|(_, text)| text.to_owned()).collect()
    }
}

impl Thumbnails {
    fn limits(&self) -> ThumbnailLimits {
        ThumbnailLimits {
            threads: self.threads,
            memory: self.memory.0,
            pixels: self.pixels,
            time: self.timeout.into(),
            queue: self.queue,
        }
    }
}
