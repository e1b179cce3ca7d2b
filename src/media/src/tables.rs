//! Every table of media, each with who writes and who reads it.

use database::{Millis, Record, Table, TableInfo, UserNumber};
use serde::{Deserialize, Serialize};

use crate::id::ContentHash;

/// Media by server and id, uploaded here or cached from another server. Written by uploads, fetches
/// and deletion; read by every download.
pub static MEDIA: Table<(String, String), MediaRow> = Table::new("media");
/// Media by user and time of upload. Written with `media`; read to delete what a user uploaded.
pub static MEDIA_BY_OWNER: Table<(UserNumber, Millis, String), ()> = Table::new("media_by_owner");
/// Media by whether it is remote and the time of upload or fetch. Written with `media`; read by
/// retention.
pub static MEDIA_BY_AGE: Table<(bool, Millis, String, String), ()> = Table::new("media_by_age");
/// Media by whether it is remote and the last access. Written with `media`; read by retention.
pub static MEDIA_BY_ACCESS: Table<(bool, Millis, String, String), ()> =
    Table::new("media_by_access");
/// Files and bytes of local (`false`) and remote media, in 256 parts so that uploads seldom write
/// the same row.
pub static MEDIA_TOTALS: Table<(bool, u8), Amount> = Table::new("media_totals");
/// What each user has uploaded and reserved. Written with `media`; read by quotas.
pub static MEDIA_USAGE: Table<UserNumber, UsageRow> = Table::new("media_usage");

/// Media ids that were given out before their upload. Written by creation, deleted by the upload or
/// when they expire.
pub static MEDIA_RESERVED: Table<String, ReservedRow> = Table::new("media_reserved");
/// Reserved media ids by the time when they expire.
pub static MEDIA_RESERVED_EXPIRIES: Table<(Millis, String), ()> =
    Table::new("media_reserved_expiries");

/// Contents by their hash, each stored once. Written with `media` and `media_thumbnails`.
pub static MEDIA_CONTENTS: Table<ContentHash, ContentRow> = Table::new("media_contents");
/// Contents that nothing refers to, until they are deleted from where they are stored.
pub static MEDIA_UNREFERENCED: Table<ContentHash, Place> = Table::new("media_unreferenced");
/// What the operator decided about a content, whether it is stored or not. Read before any content
/// is stored or served.
pub static MEDIA_VERDICTS: Table<ContentHash, Verdict> = Table::new("media_verdicts");
/// Thumbnails by content, width, height and [`kind`](crate::thumbnail::Kind). Written when one is
/// first asked for.
pub static MEDIA_THUMBNAILS: Table<(ContentHash, u16, u16, u8), ThumbnailRow> =
    Table::new("media_thumbnails");

/// Previews by URL. Written when one is fetched, deleted when it expires.
pub static URL_PREVIEWS: Table<String, PreviewRow> = Table::new("url_previews");
/// URLs with a preview by the time when it was fetched.
pub static URL_PREVIEWS_BY_AGE: Table<(Millis, String), ()> = Table::new("url_previews_by_age");

/// A file that somebody uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaRow {
    pub content: ContentHash,
    pub size: u64,
    pub content_type: Option<String>,
    pub file_name: Option<String>,
    /// `None` for media of other servers, and for images of previews.
    pub owner: Option<UserNumber>,
    /// When it was uploaded here or fetched from its server.
    pub created: Millis,
    /// To the hour.
    pub last_access: Millis,
    /// It was stored while the endpoints without authentication were not frozen, and may be had
    /// through them.
    pub is_open: bool,
    pub is_quarantined: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub files: u64,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    pub stored: Amount,
    /// Ids without an upload.
    pub reserved: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReservedRow {
    pub owner: UserNumber,
    pub expires: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRow {
    /// Media and thumbnails that have this content; never 0.
    pub references: u64,
    pub size: u64,
    pub place: Place,
}

/// Where a content is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Place {
    Files,
    Objects,
}

/// What the operator decided about a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Nobody gets it or may upload it again.
    Quarantined,
    /// Neither retention nor quarantine touches it.
    Protected,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThumbnailRow {
    pub content: ContentHash,
    pub size: u64,
    pub content_type: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewRow {
    pub fetched: Millis,
    /// The answer to clients. Its image, if any, is local media without an owner.
    pub json: String,
    /// The id of that image.
    pub image: Option<String>,
}

impl Record for MediaRow {}
impl Record for Amount {}
impl Record for UsageRow {}
impl Record for ReservedRow {}
impl Record for ContentRow {}
impl Record for Place {}
impl Record for Verdict {}
impl Record for ThumbnailRow {}
impl Record for PreviewRow {}

/// The tables that this crate writes.
pub fn tables() -> Vec<TableInfo> {
    vec![
        MEDIA.info(),
        MEDIA_BY_OWNER.info(),
        MEDIA_BY_AGE.info(),
        MEDIA_BY_ACCESS.info(),
        MEDIA_TOTALS.info(),
        MEDIA_USAGE.info(),
        MEDIA_RESERVED.info(),
        MEDIA_RESERVED_EXPIRIES.info(),
        MEDIA_CONTENTS.info(),
        MEDIA_UNREFERENCED.info(),
        MEDIA_VERDICTS.info(),
        MEDIA_THUMBNAILS.info(),
        URL_PREVIEWS.info(),
        URL_PREVIEWS_BY_AGE.info(),
    ]
}
