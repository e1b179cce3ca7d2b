//! Downloading: what is stored, what is still to be uploaded, and what another server has.

use std::{io, ops::Range, time::Duration};

use database::{Read as _, StoreError, Txn};
use futures_util::{StreamExt as _, stream};

use crate::{
    access::{Access, Asker},
    error::DownloadError,
    id::{ContentHash, Mxc},
    media::Media,
    remote::{Flight, Joined},
    storage::Bits,
    tables::{MEDIA, MEDIA_BY_ACCESS, MEDIA_CONTENTS, MediaRow},
    upload::FileInfo,
};

/// How exact the time of the last access is: each read would be a write otherwise.
const ACCESS_EXACTNESS: Duration = Duration::from_hours(1);
/// The longest that a client may wait for media to be uploaded.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// Whether media that is not here may be fetched from its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Remote,
    Stored,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    pub who: Asker,
    pub mxc: &'a Mxc,
    /// How long to wait for media that is not uploaded yet.
    pub patience: Duration,
    pub reach: Reach,
}

/// A file, of which nothing was read yet.
pub struct Download {
    pub info: FileInfo,
    /// Unknown while it arrives from a server that did not announce it.
    pub size: Option<u64>,
    /// Known once it is stored.
    pub hash: Option<ContentHash>,
    media: Media,
    source: Source,
}

enum Source {
    Stored(Box<MediaRow>),
    Arriving(Flight),
}

impl Media {
    /// Finds a file, waiting for it as long as `wanted` says.
    pub async fn download(&self, wanted: Wanted<'_>) -> Result<Download, DownloadError> {
        if let Some(row) = self.stored(wanted.who, wanted.mxc).await? {
            return Ok(self.stored_download(wanted.mxc, row));
        }
        if self.is_local(wanted.mxc) {
            let row = self.wait_for_upload(wanted).await?;
            return Ok(self.stored_download(wanted.mxc, row));
        }
        let may_fetch = match wanted.who {
            Asker::User(_) => true,
            Asker::Anyone => self.0.config.stores_open,
            Asker::Server | Asker::Operator => false,
        };
        if wanted.reach == Reach::Stored || !may_fetch {
            return Err(DownloadError::NotFound);
        }
        match self.join_fetch(wanted.mxc, wanted.patience).await? {
            Joined::Stored => self.found(wanted).await,
            Joined::Arriving(flight) => Ok(Download {
                info: flight.info.clone(),
                size: flight.size,
                hash: None,
                media: self.clone(),
                source: Source::Arriving(flight),
            }),
        }
    }

    /// Like `download`, but a file of another server is stored before this returns.
    pub async fn download_whole(&self, wanted: Wanted<'_>) -> Result<Download, DownloadError> {
        let found = self.download(wanted).await?;
        match found.source {
            Source::Stored(_) => Ok(found),
            Source::Arriving(flight) => {
                flight.stored().await?;
                self.found(wanted).await
            }
        }
    }

    async fn found(&self, wanted: Wanted<'_>) -> Result<Download, DownloadError> {
        let row = self.stored(wanted.who, wanted.mxc).await?;
        let row = row.ok_or(DownloadError::NotFound)?;
        Ok(self.stored_download(wanted.mxc, row))
    }

    /// `None` if nothing is stored; an error if this asker does not get it.
    async fn stored(&self, who: Asker, mxc: &Mxc) -> Result<Option<Box<MediaRow>>, DownloadError> {
        let db = self.snapshot().await?;
        match self.media_access(&db, who, mxc).await? {
            Access::Granted(row) => Ok(Some(row)),
            Access::Denied => Err(DownloadError::NotFound),
            Access::Absent => Ok(None),
        }
    }

    fn stored_download(&self, mxc: &Mxc, row: Box<MediaRow>) -> Download {
        self.note_access(mxc, &row);
        Download {
            info: FileInfo {
                content_type: row.content_type.clone(),
                file_name: row.file_name.clone(),
            },
            size: Some(row.size),
            hash: Some(row.content),
            media: self.clone(),
            source: Source::Stored(row),
        }
    }

    async fn wait_for_upload(&self, wanted: Wanted<'_>) -> Result<Box<MediaRow>, DownloadError> {
        let id = wanted.mxc.id();
        let may_wait = wanted.who != Asker::Anyone || self.0.config.stores_open;
        if !may_wait || !self.is_reserved(id).await? {
            return Err(DownloadError::NotFound);
        }
        let uploaded = async {
            loop {
                // Registered before looking, so that no upload is missed.
                let mut stirred = std::pin::pin!(self.uploaded(id).notified());
                stirred.as_mut().enable();
                if let Some(row) = self.stored(wanted.who, wanted.mxc).await? {
                    return Ok(row);
                }
                stirred.await;
            }
        };
        let patience = wanted.patience.min(LONGEST_WAIT);
        let waited = tokio::time::timeout(patience, uploaded).await;
        waited.unwrap_or(Err(DownloadError::NotYetUploaded))
    }

    /// Nobody waits for this.
    fn note_access(&self, mxc: &Mxc, row: &MediaRow) {
        let now = self.0.needs.clock.now();
        if now.since(row.last_access) < ACCESS_EXACTNESS {
            return;
        }
        let (media, mxc, old) = (self.clone(), mxc.clone(), row.last_access);
        self.0.needs.tasks.spawn(async move {
            let (key, is_remote) = (mxc.key(), !media.is_local(&mxc));
            let body = |txn: Txn| async move {
                let row = txn.get(MEDIA.at(key)).await?;
                let Some(mut row) = row.filter(|row| row.last_access == old) else {
                    return Ok(());
                };
                row.last_access = now;
                txn.put(MEDIA.at(key), &row);
                txn.delete(MEDIA_BY_ACCESS.at((is_remote, old, key.0, key.1)));
                txn.put(MEDIA_BY_ACCESS.at((is_remote, now, key.0, key.1)), &());
                txn.may_wait();
                Ok::<_, StoreError>(())
            };
            if let Err(error) = media.store().transact(body).await {
                tracing::debug!(%error, "an access to media was not noted");
            }
        });
    }

    /// A stored content, or a part of it.
    pub(crate) async fn read_content(
        &self,
        hash: ContentHash,
        range: Range<u64>,
    ) -> Result<Bits, DownloadError> {
        let db = self.snapshot().await?;
        let content = db.get(MEDIA_CONTENTS.at(hash)).await?;
        let place = content.ok_or(DownloadError::NotFound)?.place;
        let read = self.storage(place)?.read(hash, range.clone()).await;
        match read {
            // It was moved to another place in this moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let now = self.snapshot().await?.get(MEDIA_CONTENTS.at(hash)).await?;
                match now.filter(|now| now.place != place) {
                    Some(now) => Ok(self.storage(now.place)?.read(hash, range).await?),
                    None => Err(DownloadError::Io(error)),
                }
            }
            read => Ok(read?),
        }
    }
}

impl Download {
    /// All of it, or a range of a file whose size is known.
    pub async fn read(self, range: Option<Range<u64>>) -> Result<Bits, DownloadError> {
        match self.source {
            Source::Stored(row) => {
                let range = range.unwrap_or(0..row.size);
                self.media.read_content(row.content, range).await
            }
            Source::Arriving(flight) => {
                let bits = flight.read(&self.media).await?;
                Ok(match range {
                    Some(range) => part_of(bits, range),
                    None => bits,
                })
            }
        }
    }

    /// Whether all of it is stored, so that parts of it can be read without the rest.
    pub fn is_stored(&self) -> bool {
        matches!(self.source, Source::Stored(_))
    }

    /// Where the client may fetch it instead, if the storage offers that.
    pub async fn redirect(&self) -> Result<Option<String>, DownloadError> {
        let Some(hash) = self.hash else {
            return Ok(None);
        };
        let db = self.media.snapshot().await?;
        let Some(content) = db.get(MEDIA_CONTENTS.at(hash)).await? else {
            return Ok(None);
        };
        Ok(self.media.storage(content.place)?.redirect(hash).await?)
    }
}

/// A part of what can only be read from its start.
fn part_of(bits: Bits, range: Range<u64>) -> Bits {
    let state = (bits, range.start, range.end - range.start);
    let part = stream::try_unfold(state, |(mut bits, mut skip, mut left)| async move {
        while left > 0 {
            let Some(bytes) = bits.next().await else {
                return Err(io::ErrorKind::UnexpectedEof.into());
            };
            let mut bytes = bytes?;
            let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(bytes.len());
            skip -= skipped as u64;
            let _ = bytes.split_to(skipped);
            bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            if !bytes.is_empty() {
                left -= bytes.len() as u64;
                return Ok(Some((bytes, (bits, skip, left))));
            }
        }
        Ok::<_, io::Error>(None)
    });
    part.boxed()
}
