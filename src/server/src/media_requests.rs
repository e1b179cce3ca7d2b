//! Operator's commands that concern files.

use std::path::{Path, PathBuf};

use database_rocksdb::OpenError;
use media::{Amount, ContentHash, Media, Mxc, Place, Selection, UploadError, Verdict};
use ruma::{OwnedServerName, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    app::{Base, blocking},
    control::Reply,
};

/// Where a backup has the files of media, in its folder.
pub(crate) const BACKUP_FILES: &str = "media";

#[derive(Serialize, Deserialize)]
pub(crate) enum MediaRequest {
    Check,
    Usage { user: Option<String> },
    Delete(Which),
    Quarantine { which: Which, undo: bool },
    QuarantineContent { hash: String, undo: bool },
    Protect { content: String, undo: bool },
    Move { to: String },
}

/// Media as an operator names it.
#[derive(Serialize, Deserialize)]
pub(crate) enum Which {
    These(Vec<String>),
    User(String),
    Server(String),
    OlderThan { seconds: u64, local: bool },
}

#[derive(Debug, thiserror::Error)]
enum BackupError {
    #[error(transparent)]
    Database(#[from] OpenError),
    #[error("the files of media: {0}")]
    Media(#[from] UploadError),
}

pub(crate) async fn back_up(base: &Base, folder: PathBuf) -> Reply {
    let (engine, to) = (base.engine.clone(), folder.clone());
    let checkpoint = async {
        let copied = blocking(move || engine.checkpoint(&to)).await;
        copied.map_err(BackupError::from)
    };
    let files = folder.join(BACKUP_FILES);
    match base.media.back_up(files, checkpoint).await {
        Ok(files) => Ok(format!(
            "the backup is in {}, with {files} files",
            Path::display(&folder)
        )),
        Err(error) => Err(error.to_string()),
    }
}

impl MediaRequest {
    pub(crate) async fn execute(self, base: &Base) -> Reply {
        let media = &base.media;
        match self {
            Self::Check => check(media).await,
            Self::Usage { user: None } => {
                let usage = media.usage().await.map_err(|error| error.to_string())?;
                let (local, remote) = (shown(usage.local), shown(usage.remote));
                Ok(format!(
                    "uploaded here: {local}\nof other servers: {remote}"
                ))
            }
            Self::Usage { user: Some(user) } => {
                let owner = owner(base, &user).await?;
                let usage = media.usage_of(owner).await;
                Ok(shown(usage.map_err(|error| error.to_string())?))
            }
            Self::Delete(which) => {
                let which = which.selection(base).await?;
                let deleted = media.delete(&which).await;
                let deleted = deleted.map_err(|error| error.to_string())?;
                Ok(format!("deleted {}", shown(deleted)))
            }
            Self::Quarantine { which, undo } => {
                let which = which.selection(base).await?;
                let changed = media.quarantine(&which, !undo).await;
                let changed = changed.map_err(|error| error.to_string())?;
                let what = if undo { "shows" } else { "hides" };
                Ok(format!("the server {what} {changed} files"))
            }
            Self::QuarantineContent { hash, undo } => {
                judge(media, &hash, Verdict::Quarantined, undo).await
            }
            Self::Protect { content, undo } => {
                judge(media, &content, Verdict::Protected, undo).await
            }
            Self::Move { to } => {
                let place = match to.as_str() {
                    "files" => Place::Files,
                    "s3" => Place::Objects,
                    _ => return Err("files are moved to \"files\" or to \"s3\"".to_owned()),
                };
                let moved = media.move_to(place).await;
                Ok(format!(
                    "moved {}",
                    shown(moved.map_err(|error| error.to_string())?)
                ))
            }
        }
    }
}

impl Which {
    async fn selection(self, base: &Base) -> Result<Selection, String> {
        Ok(match self {
            Self::These(uris) => {
                let parse = |uri: &String| {
                    Mxc::parse(uri)
                        .ok_or_else(|| format!("{uri} is no URI such as mxc://a.example/b"))
                };
                Selection::These(uris.iter().map(parse).collect::<Result<_, _>>()?)
            }
            Self::User(user) => Selection::Owner(owner(base, &user).await?),
            Self::Server(server) => Selection::Server(
                OwnedServerName::try_from(server).map_err(|error| error.to_string())?,
            ),
            Self::OlderThan { seconds, local } => Selection::Before {
                time: base.now_minus(seconds),
                is_remote: !local,
            },
        })
    }
}

async fn check(media: &Media) -> Reply {
    let found = media.check().await.map_err(|error| error.to_string())?;
    let report = format!(
        "{} contents; deleted {} files that nothing referred to; corrected {} counts",
        found.contents, found.orphans, found.miscounted
    );
    if found.missing == 0 {
        return Ok(report);
    }
    let missing = format!("{report}; {} files are missing or damaged:", found.missing);
    let lost = found.lost.iter().map(ToString::to_string);
    let lines: Vec<String> = std::iter::once(missing).chain(lost).collect();
    Err(lines.join("\n  "))
}

/// `content` is a hash or a URI.
async fn judge(media: &Media, content: &str, verdict: Verdict, undo: bool) -> Reply {
    let hash = match (ContentHash::parse(content), Mxc::parse(content)) {
        (Some(hash), _) => hash,
        (None, Some(mxc)) => {
            let hash = media.content_of(&mxc).await;
            let hash = hash.map_err(|error| error.to_string())?;
            hash.ok_or_else(|| format!("there is no {mxc}"))?
        }
        (None, None) => return Err(format!("{content} is neither a SHA-256 hash nor a URI")),
    };
    let judged = media.judge(hash, (!undo).then_some(verdict)).await;
    judged.map_err(|error| error.to_string())?;
    let word = match (undo, verdict) {
        (true, _) => "an ordinary file",
        (false, Verdict::Quarantined) => "quarantined",
        (false, Verdict::Protected) => "protected",
    };
    Ok(format!("{hash} is {word} now"))
}

/// A name, or a whole user id.
async fn owner(base: &Base, name: &str) -> Result<database::UserNumber, String> {
    let users = &base.users;
    let user_id = match UserId::parse(name) {
        Ok(user_id) => user_id.to_string(),
        Err(_) => format!("@{name}:{}", users.server_name()),
    };
    let db = users.snapshot().await.map_err(|error| error.to_string())?;
    let number = users.find_number(&db, &user_id).await;
    let number = number.map_err(|error| error.to_string())?;
    number.ok_or_else(|| format!("there is no user {user_id}"))
}

fn shown(amount: Amount) -> String {
    let mebibytes = amount.bytes.div_ceil(1 << 20);
    format!("{} files, {mebibytes} MiB", amount.files)
}
