//! Moving contents between files and the object store while the server runs.

use database::{Read as _, StoreError, Txn};
use futures_util::TryStreamExt as _;

use crate::{
    error::UploadError,
    id::ContentHash,
    media::Media,
    tables::{Amount, ContentRow, MEDIA_CONTENTS, Place},
};

const PAGE: usize = 100;

impl Media {
    /// Moves everything that is stored elsewhere to `place`. Safe to interrupt and to repeat.
    pub async fn move_to(&self, place: Place) -> Result<Amount, UploadError> {
        self.storage(place)?;
        let mut moved = Amount::default();
        let mut rows = MEDIA_CONTENTS.all();
        loop {
            let page = self.snapshot().await?.page(rows.clone(), PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(moved);
            };
            rows = rows.after(*last);
            for (hash, row) in page {
                if row.place != place && self.move_one(hash, place).await? {
                    moved = moved.plus(row.size);
                }
            }
        }
    }

    /// Copies, changes the row, and deletes the old copy: at any moment the row names a place that
    /// has the content.
    async fn move_one(&self, hash: ContentHash, to: Place) -> Result<bool, UploadError> {
        let _may_delete = self.0.deletions.lock().await;
        let _turn = self.0.contents.take(hash).await;
        let db = self.snapshot().await?;
        let Some(row) = db.get(MEDIA_CONTENTS.at(hash)).await? else {
            return Ok(false);
        };
        if row.place == to {
            return Ok(false);
        }
        let from = self.storage(row.place)?;
        let mut bits = from.read(hash, 0..row.size).await?;
        let mut draft = self.0.needs.files.draft(&*self.0.needs.random);
        while let Some(bytes) = bits.try_next().await? {
            draft.write(&bytes).await?;
        }
        let draft = draft.finish().await?;
        if draft.hash != hash {
            tracing::error!(%hash, "a file is damaged and was not moved");
            return Ok(false);
        }
        self.storage(to)?.keep(&draft).await?;
        let body = |txn: Txn| async move {
            let Some(now) = txn.get(MEDIA_CONTENTS.at(hash)).await? else {
                return Ok(false);
            };
            txn.put(MEDIA_CONTENTS.at(hash), &ContentRow { place: to, ..now });
            Ok::<_, StoreError>(true)
        };
        let (is_moved, _) = self.store().transact(body).await?;
        if is_moved {
            self.storage(to)?.confirm(hash).await?;
            from.remove(hash).await?;
        } else {
            // Deleted meanwhile: both copies go, this one now and the other with the row that names
            // it.
            self.storage(to)?.remove(hash).await?;
        }
        Ok(is_moved)
    }
}
