//! What is deleted without an operator's command: reserved ids that were not used, media by age,
//! last access and space, and what a crash left half done.

use std::time::Duration;

use database::{Read as _, StoreError};

use crate::{
    config::Retention,
    delete::Selection,
    error::UploadError,
    id::Mxc,
    media::{Media, OpenError},
    storage::Storage as _,
    tables::{Amount, MEDIA_BY_ACCESS, MEDIA_CONTENTS},
};

/// How often, if nothing asks for it before.
const EVERY: Duration = Duration::from_hours(1);
const PAGE: usize = 100;

impl Media {
    /// At the start: files whose row a crash prevented are deleted, and those whose row is there
    /// are settled.
    pub(crate) async fn settle(&self) -> Result<(), OpenError> {
        let files = &self.0.needs.files;
        for hash in files.unconfirmed().await? {
            let db = self.snapshot().await?;
            if db.exists(MEDIA_CONTENTS.at(hash)).await? {
                files.confirm(hash).await?;
            } else {
                files.remove(hash).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn sweep_on(&self) {
        loop {
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "old media could not be deleted; will retry");
            }
            let stirred = self.0.sweep.notified();
            // An error is the end of the wait.
            let _ = tokio::time::timeout(EVERY, stirred).await;
        }
    }

    /// Deletes everything whose time is over.
    pub async fn sweep(&self) -> Result<(), UploadError> {
        while self.forget_expired().await? {}
        while self.forget_previews().await? {}
        for (is_remote, retention) in [(false, self.0.config.local), (true, self.0.config.remote)] {
            self.retain(is_remote, retention).await?;
        }
        self.delete_unreferenced().await
    }

    async fn retain(&self, is_remote: bool, retention: Retention) -> Result<(), UploadError> {
        let now = self.0.needs.clock.now();
        let before = |age: Duration| {
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            database::Millis(now.0.saturating_sub(age))
        };
        if let Some(age) = retention.age {
            let time = before(age);
            self.delete(&Selection::Before { time, is_remote }).await?;
        }
        let unread_since = retention.unread.map(before);
        let usage = self.usage().await?;
        let amount = if is_remote { usage.remote } else { usage.local };
        let excess = retention
            .space
            .map_or(0, |space| amount.bytes.saturating_sub(space));
        let freed = self.delete_unread(is_remote, unread_since, excess).await?;
        if freed.files > 0 {
            tracing::info!(
                is_remote,
                files = freed.files,
                bytes = freed.bytes,
                "deleted media"
            );
        }
        Ok(())
    }

    /// What was read longest ago goes first: all from before `since`, and more until `excess` bytes
    /// are freed.
    async fn delete_unread(
        &self,
        is_remote: bool,
        since: Option<database::Millis>,
        excess: u64,
    ) -> Result<Amount, StoreError> {
        let mut freed = Amount::default();
        let mut rows = MEDIA_BY_ACCESS.under(is_remote);
        loop {
            let db = self.snapshot().await?;
            let page = db.page(rows.clone(), PAGE).await?;
            drop(db);
            let Some(((_, time, server, id), ())) = page.last() else {
                return Ok(freed);
            };
            rows = rows.after((is_remote, *time, server, id));
            for ((_, time, server, id), ()) in &page {
                let is_old = since.is_some_and(|since| *time < since);
                if !is_old && freed.bytes >= excess {
                    return Ok(freed);
                }
                let mxc = Mxc::from_key(server, id)?;
                if let Some(size) = self.delete_one(&mxc).await? {
                    freed = freed.plus(size);
                }
            }
        }
    }
}
