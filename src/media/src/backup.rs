//! Backups: files get a second name in the backup's folder, or are copied where the file system has
//! no links.

use std::{future::Future, path::PathBuf};

use database::{Read as _, Rows, Value};

use crate::{
    error::UploadError,
    id::ContentHash,
    media::Media,
    storage::{Disk, FileStorage, Storage as _},
    tables::{MEDIA_CONTENTS, MEDIA_UNREFERENCED, Place},
};

const PAGE: usize = 200;

impl Media {
    /// Runs `checkpoint`, which copies the database, and then links the files that its rows name to
    /// `folder`. Nothing is deleted meanwhile. Contents in an object store stay there. Returns how
    /// many files there are.
    pub async fn back_up<T, E>(
        &self,
        folder: PathBuf,
        checkpoint: impl Future<Output = Result<T, E>>,
    ) -> Result<u64, E>
    where
        E: From<UploadError>,
    {
        let _kept = self.0.deletions.lock().await;
        checkpoint.await?;
        let clock = self.0.needs.clock.clone();
        let blocking = self.0.needs.files.blocking().clone();
        let copy = FileStorage::open(folder, std::sync::Arc::new(Disk), blocking, clock).await;
        let copy = copy.map_err(UploadError::from)?;
        // Those whose row was deleted since the checkpoint still have their file.
        let used = self
            .link_all(&copy, MEDIA_CONTENTS.all(), |row| row.place)
            .await?;
        let unused = self
            .link_all(&copy, MEDIA_UNREFERENCED.all(), |place| *place)
            .await?;
        Ok(used + unused)
    }

    async fn link_all<V: Value>(
        &self,
        copy: &FileStorage,
        mut rows: Rows<ContentHash, V>,
        place: impl Fn(&V) -> Place,
    ) -> Result<u64, UploadError> {
        let mut count = 0;
        loop {
            let page = self.snapshot().await?.page(rows.clone(), PAGE).await?;
            let Some((last, _)) = page.last() else {
                return Ok(count);
            };
            rows = rows.after(*last);
            for (hash, row) in &page {
                let is_here = place(row) == Place::Files;
                if is_here && self.0.needs.files.size(*hash).await?.is_some() {
                    self.0.needs.files.link(*hash, copy).await?;
                    count += 1;
                }
            }
        }
    }
}

/// Puts the files of a backup where a server will look for them. What is there already stays.
pub async fn restore_files(from: &FileStorage, to: &FileStorage) -> Result<u64, UploadError> {
    let mut count = 0;
    let mut after = None;
    loop {
        let page = from.list(after).await?;
        let Some(last) = page.last() else {
            return Ok(count);
        };
        after = Some(*last);
        for hash in page {
            from.link(hash, to).await?;
            count += 1;
        }
    }
}
