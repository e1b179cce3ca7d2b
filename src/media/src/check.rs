//! Looks for contents without rows and rows without contents, and repairs what can be.

use std::collections::HashMap;

use database::{Read as _, StoreError, Txn};

use crate::{
    error::UploadError,
    id::{ContentHash, Mxc},
    media::Media,
    tables::{ContentRow, MEDIA, MEDIA_CONTENTS, MEDIA_THUMBNAILS, Place},
};

const PAGE: usize = 500;
/// Missing files that are named.
const NAMED: usize = 100;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub contents: u64,
    /// Files that nothing refers to; deleted.
    pub orphans: u64,
    /// Contents whose file is not there or has another size.
    pub missing: u64,
    /// Media that is lost with them, some of it.
    pub lost: Vec<Mxc>,
    /// Contents whose references were counted wrongly; corrected.
    pub miscounted: u64,
}

impl Media {
    /// Goes through all rows and all files, while the server runs.
    pub async fn check(&self) -> Result<Found, UploadError> {
        let mut found = Found::default();
        let mut after = None;
        loop {
            let mut rows = MEDIA_CONTENTS.all();
            if let Some(after) = after {
                rows = rows.after(after);
            }
            let page = self.snapshot().await?.page(rows, PAGE).await?;
            let Some((last, _)) = page.last() else {
                break;
            };
            after = Some(*last);
            for (hash, row) in &page {
                found.contents += 1;
                self.check_content(*hash, *row, &mut found).await?;
            }
        }
        self.check_references(&mut found).await?;
        for place in [Place::Files, Place::Objects] {
            self.check_orphans(place, &mut found).await?;
        }
        Ok(found)
    }

    async fn check_content(
        &self,
        hash: ContentHash,
        row: ContentRow,
        found: &mut Found,
    ) -> Result<(), UploadError> {
        let Ok(storage) = self.storage(row.place) else {
            return Ok(());
        };
        if storage.size(hash).await? == Some(row.size) {
            return Ok(());
        }
        // It may have been deleted in this moment.
        if self
            .snapshot()
            .await?
            .exists(MEDIA_CONTENTS.at(hash))
            .await?
        {
            tracing::warn!(%hash, "the file of a content is missing or damaged");
            found.missing += 1;
        }
        Ok(())
    }

    /// Counts references by one snapshot, a sixteenth of all contents at a time.
    async fn check_references(&self, found: &mut Found) -> Result<(), UploadError> {
        for part in 0..16 {
            let is_in_part = |hash: &ContentHash| hash.0[0] >> 4 == part;
            let db = self.snapshot().await?;
            let mut counts: HashMap<ContentHash, u64> = HashMap::new();
            let mut rows = MEDIA.all();
            loop {
                let page = db.page(rows.clone(), PAGE).await?;
                let Some(((server, id), _)) = page.last() else {
                    break;
                };
                rows = rows.after((server, id));
                for ((server, id), row) in page {
                    if is_in_part(&row.content) {
                        *counts.entry(row.content).or_default() += 1;
                        self.note_lost(&row.content, &server, &id, found).await?;
                    }
                }
            }
            let mut rows = MEDIA_THUMBNAILS.all();
            loop {
                let page = db.page(rows.clone(), PAGE).await?;
                let Some((last, _)) = page.last() else {
                    break;
                };
                rows = rows.after(*last);
                for (key, row) in page {
                    if is_in_part(&row.content) && row.content != key.0 {
                        *counts.entry(row.content).or_default() += 1;
                    }
                }
            }
            self.correct_references(part, &db, &counts, found).await?;
        }
        Ok(())
    }

    async fn note_lost(
        &self,
        hash: &ContentHash,
        server: &str,
        id: &str,
        found: &mut Found,
    ) -> Result<(), UploadError> {
        if found.missing == 0 || found.lost.len() >= NAMED {
            return Ok(());
        }
        let row = self.snapshot().await?.get(MEDIA_CONTENTS.at(*hash)).await?;
        if let Some(row) = row
            && let Ok(storage) = self.storage(row.place)
            && storage.size(*hash).await? != Some(row.size)
        {
            found.lost.push(Mxc::from_key(server, id)?);
        }
        Ok(())
    }

    async fn correct_references(
        &self,
        part: u8,
        db: &database::Snapshot,
        counts: &HashMap<ContentHash, u64>,
        found: &mut Found,
    ) -> Result<(), UploadError> {
        let mut first = [0; 32];
        first[0] = part << 4;
        let mut rows = MEDIA_CONTENTS.all().from(ContentHash(first));
        loop {
            let page = db.page(rows.clone(), PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(());
            };
            rows = rows.after(*last);
            for (hash, row) in &page {
                if hash.0[0] >> 4 != part {
                    return Ok(());
                }
                let right = counts.get(hash).copied().unwrap_or_default();
                if row.references != right {
                    found.miscounted += self.correct(*hash, *row, right).await?;
                }
            }
        }
    }

    /// Unless the row has changed since it was counted.
    async fn correct(
        &self,
        hash: ContentHash,
        counted: ContentRow,
        right: u64,
    ) -> Result<u64, StoreError> {
        let body = |txn: Txn| async move {
            if txn.get(MEDIA_CONTENTS.at(hash)).await? != Some(counted) {
                return Ok(0);
            }
            if right == 0 {
                txn.delete(MEDIA_CONTENTS.at(hash));
                txn.put(crate::tables::MEDIA_UNREFERENCED.at(hash), &counted.place);
            } else {
                let row = ContentRow {
                    references: right,
                    ..counted
                };
                txn.put(MEDIA_CONTENTS.at(hash), &row);
            }
            Ok::<_, StoreError>(1)
        };
        Ok(self.store().transact(body).await?.0)
    }

    async fn check_orphans(&self, place: Place, found: &mut Found) -> Result<(), UploadError> {
        let Ok(storage) = self.storage(place) else {
            return Ok(());
        };
        let mut after = None;
        loop {
            let page = storage.list(after).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(*last);
            for hash in page {
                let may_delete = self.0.deletions.lock().await;
                let turn = self.0.contents.take(hash).await;
                let row = self.snapshot().await?.get(MEDIA_CONTENTS.at(hash)).await?;
                if row.is_none_or(|row| row.place != place) {
                    storage.remove(hash).await?;
                    found.orphans += 1;
                }
                drop((turn, may_delete));
            }
        }
        Ok(())
    }
}
