//! Uploading: streamed to a draft within limits, scanned, kept by its hash, and only then given a
//! row.

use std::{
    pin::Pin,
    sync::{MutexGuard, PoisonError},
};

use bytes::Bytes;
use database::{Millis, Read as _, Txn, UserNumber};
use futures_util::{Stream, StreamExt as _};

use crate::{
    error::UploadError,
    id::Mxc,
    media::Media,
    reserve, rows,
    storage::{Draft, Finished},
    tables::{
        Amount, MEDIA, MEDIA_CONTENTS, MEDIA_USAGE, MEDIA_VERDICTS, MediaRow, Place, Verdict,
    },
};

/// Bytes of a stored file name and content type; longer ones are not kept.
const LONGEST_INFO: usize = 1024;

/// What an uploader says of a file. Nothing of it is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileInfo {
    pub content_type: Option<String>,
    pub file_name: Option<String>,
}

/// A file on its way to this server.
pub struct Incoming<S> {
    pub info: FileInfo,
    /// Its size, if the sender announced it: refuses what is too large before it is sent.
    pub size: Option<u64>,
    pub bits: S,
}

/// Where an upload goes.
#[derive(Clone, Debug)]
pub enum Target {
    New,
    /// A media id that [`Media::create`] gave out.
    Reserved(String),
}

/// The body of an upload broke off.
#[derive(Clone, Copy, Debug)]
pub struct Broken;

/// What one user is uploading right now.
#[derive(Default)]
pub(crate) struct InFlight {
    uploads: u32,
    bytes: u64,
}

impl FileInfo {
    fn bounded(self) -> Self {
        let short = |text: &String| !text.is_empty() && text.len() <= LONGEST_INFO;
        Self {
            content_type: self.content_type.filter(short),
            file_name: self.file_name.filter(short),
        }
    }
}

impl Media {
    /// Stores a file and returns its name. When this returns, the file is on disk.
    pub async fn upload<S>(
        &self,
        owner: UserNumber,
        target: Target,
        file: Incoming<S>,
    ) -> Result<Mxc, UploadError>
    where
        S: Stream<Item = Result<Bytes, Broken>> + Send,
    {
        let mxc = match &target {
            Target::New => Mxc::random(self.server_name(), &*self.0.needs.random),
            Target::Reserved(id) => self.check_reserved(owner, id).await?,
        };
        let usage = self.snapshot().await?.get(MEDIA_USAGE.at(owner)).await?;
        let stored = usage.unwrap_or_default().stored;
        let mut share = Share::take(self, owner, stored)?;
        if let Some(size) = file.size {
            share.check(size)?;
        }
        let draft = self.receive(std::pin::pin!(file.bits), &mut share).await?;
        let draft = draft.finish().await?;
        let (media, info) = (self.clone(), file.info.bounded());
        self.finish(async move {
            media.scan(&draft, &info).await?;
            let now = media.0.needs.clock.now();
            let row = media.new_row(&draft, info, Some(owner), now);
            let turn = media.0.owners.take(owner).await;
            media.store_draft(&draft, &mxc, &row, &target).await?;
            drop((turn, share));
            if let Target::Reserved(id) = &target {
                media.uploaded(id).notify_waiters();
            }
            Ok(mxc)
        })
        .await
    }

    async fn receive<S>(
        &self,
        mut bits: Pin<&mut S>,
        share: &mut Share,
    ) -> Result<Draft, UploadError>
    where
        S: Stream<Item = Result<Bytes, Broken>> + Send,
    {
        let mut draft = self.0.needs.files.draft(&*self.0.needs.random);
        while let Some(bytes) = bits.next().await {
            let bytes = bytes.map_err(|Broken| UploadError::Cut)?;
            share.add(bytes.len() as u64)?;
            draft.write(&bytes).await?;
        }
        Ok(draft)
    }

    pub(crate) fn new_row(
        &self,
        draft: &Finished,
        info: FileInfo,
        owner: Option<UserNumber>,
        now: Millis,
    ) -> MediaRow {
        MediaRow {
            content: draft.hash,
            size: draft.size,
            content_type: info.content_type,
            file_name: info.file_name,
            owner,
            created: now,
            last_access: now,
            is_open: self.0.config.stores_open,
            is_quarantined: false,
        }
    }

    /// Keeps the content, if it is new, and commits the row. Not to be cut off in between.
    pub(crate) async fn store_draft(
        &self,
        draft: &Finished,
        mxc: &Mxc,
        row: &MediaRow,
        target: &Target,
    ) -> Result<(), UploadError> {
        let turn = self.0.contents.take(draft.hash).await;
        let place = self.keep(draft).await?;
        let is_remote = !self.is_local(mxc);
        let body = |txn: Txn| async move {
            self.check_verdict(&txn, row).await?;
            if txn.exists(MEDIA.at(mxc.key())).await? {
                return Err(UploadError::Exists);
            }
            if let Target::Reserved(id) = target {
                reserve::take(&txn, id, row).await?;
            }
            rows::add(&txn, mxc, row, is_remote, place).await?;
            if let Some(owner) = row.owner {
                self.check_quota(&txn, owner).await?;
            }
            Ok(())
        };
        let committed = self.store().transact(body).await;
        if let Err(error) = committed {
            // The content may be nobody's now.
            self.discard(draft, place).await;
            return Err(error);
        }
        self.storage(place)?.confirm(draft.hash).await?;
        drop(turn);
        Ok(())
    }

    /// Returns where the content is. The caller holds its turn.
    pub(crate) async fn keep(&self, draft: &Finished) -> Result<Place, UploadError> {
        let db = self.snapshot().await?;
        if let Some(known) = db.get(MEDIA_CONTENTS.at(draft.hash)).await? {
            // A file that somebody deleted from the disk is repaired by its next upload.
            if self.storage(known.place)?.size(draft.hash).await? == Some(draft.size) {
                return Ok(known.place);
            }
            self.storage(known.place)?.keep(draft).await?;
            return Ok(known.place);
        }
        self.storage(self.0.config.place)?.keep(draft).await?;
        Ok(self.0.config.place)
    }

    /// Deletes a content that was kept and that no row refers to. The caller holds its turn.
    pub(crate) async fn discard(&self, draft: &Finished, place: Place) {
        let is_referred = async {
            let db = self.snapshot().await?;
            db.exists(MEDIA_CONTENTS.at(draft.hash)).await
        };
        if matches!(is_referred.await, Ok(false))
            && let Ok(storage) = self.storage(place)
            && let Err(error) = storage.remove(draft.hash).await
        {
            tracing::warn!(%error, "a file that was refused could not be deleted");
        }
    }

    async fn check_verdict(&self, txn: &Txn, row: &MediaRow) -> Result<(), UploadError> {
        match txn.get(MEDIA_VERDICTS.at(row.content)).await? {
            Some(Verdict::Quarantined) => Err(UploadError::Refused),
            Some(Verdict::Protected) | None => Ok(()),
        }
    }

    /// With what the transaction has added.
    async fn check_quota(&self, txn: &Txn, owner: UserNumber) -> Result<(), UploadError> {
        let stored = txn
            .get(MEDIA_USAGE.at(owner))
            .await?
            .unwrap_or_default()
            .stored;
        self.within_quota(stored)
    }

    fn within_quota(&self, amount: Amount) -> Result<(), UploadError> {
        match (self.0.config.quota_bytes, self.0.config.quota_files) {
            (Some(limit), _) if amount.bytes > limit => Err(UploadError::QuotaBytes { limit }),
            (_, Some(limit)) if amount.files > limit => Err(UploadError::QuotaFiles { limit }),
            _ => Ok(()),
        }
    }

    fn in_flight(&self) -> MutexGuard<'_, std::collections::HashMap<UserNumber, InFlight>> {
        let all = self.0.in_flight.lock();
        all.unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one upload takes of its user's quota while it runs; given back when it is dropped.
struct Share {
    media: Media,
    owner: UserNumber,
    /// What the user had stored when it began.
    stored: Amount,
    bytes: u64,
}

impl Share {
    fn take(media: &Media, owner: UserNumber, stored: Amount) -> Result<Self, UploadError> {
        let mut all = media.in_flight();
        let count: usize = all.values().map(|one| one.uploads as usize).sum();
        if count >= media.0.config.uploads {
            return Err(UploadError::TooMany);
        }
        let own = all.entry(owner).or_default();
        if own.uploads >= media.0.config.uploads_per_user {
            return Err(UploadError::TooMany);
        }
        own.uploads += 1;
        drop(all);
        Ok(Self {
            media: media.clone(),
            owner,
            stored,
            bytes: 0,
        })
    }

    /// Whether so many more bytes are within all limits.
    fn check(&self, more: u64) -> Result<(), UploadError> {
        let limit = self.media.0.config.max_upload_size;
        if self.bytes.saturating_add(more) > limit {
            return Err(UploadError::TooLarge { limit });
        }
        let all = self.media.in_flight();
        let own = all.get(&self.owner);
        let (uploads, bytes) = own.map_or((0, 0), |own| (own.uploads, own.bytes));
        drop(all);
        self.media.within_quota(Amount {
            files: self.stored.files + u64::from(uploads),
            bytes: self.stored.bytes.saturating_add(bytes).saturating_add(more),
        })
    }

    fn add(&mut self, bytes: u64) -> Result<(), UploadError> {
        self.check(bytes)?;
        self.bytes += bytes;
        self.media.in_flight().entry(self.owner).or_default().bytes += bytes;
        Ok(())
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut all = self.media.in_flight();
        if let Some(own) = all.get_mut(&self.owner) {
            own.uploads = own.uploads.saturating_sub(1);
            own.bytes = own.bytes.saturating_sub(self.bytes);
            if own.uploads == 0 {
                all.remove(&self.owner);
            }
        }
    }
}
