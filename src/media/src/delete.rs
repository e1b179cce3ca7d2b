//! Deleting and quarantining, and deleting contents that nothing refers to any more.

use database::{Millis, Read as _, StoreError, Txn, UserNumber};
use ruma::OwnedServerName;

use crate::{
    error::UploadError,
    id::{ContentHash, Mxc},
    media::Media,
    rows,
    tables::{
        Amount, MEDIA, MEDIA_BY_AGE, MEDIA_BY_OWNER, MEDIA_CONTENTS, MEDIA_TOTALS,
        MEDIA_UNREFERENCED, MEDIA_USAGE, MEDIA_VERDICTS, Verdict,
    },
};

const PAGE: usize = 200;

/// Which media an operator speaks of.
#[derive(Clone, Debug)]
pub enum Selection {
    /// For example what a room refers to.
    These(Vec<Mxc>),
    Owner(UserNumber),
    Server(OwnedServerName),
    /// Stored before this moment.
    Before {
        time: Millis,
        is_remote: bool,
    },
}

/// What is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub local: Amount,
    pub remote: Amount,
}

impl Media {
    /// Deletes media that is not protected. Returns how much.
    pub async fn delete(&self, which: &Selection) -> Result<Amount, UploadError> {
        let mut deleted = Amount::default();
        let mut after = None;
        loop {
            let page = self.select(which, after.as_ref()).await?;
            let Some(last) = page.last() else {
                break;
            };
            after = Some(last.clone());
            for (mxc, _) in &page {
                if let Some(size) = self.delete_one(mxc).await? {
                    deleted = deleted.plus(size);
                }
            }
        }
        self.delete_unreferenced().await?;
        Ok(deleted)
    }

    /// Hides media, or shows it again, by name. Returns how many files changed.
    pub async fn quarantine(
        &self,
        which: &Selection,
        is_quarantined: bool,
    ) -> Result<u64, StoreError> {
        let mut changed = 0;
        let mut after = None;
        loop {
            let page = self.select(which, after.as_ref()).await?;
            let Some(last) = page.last() else {
                return Ok(changed);
            };
            after = Some(last.clone());
            for (mxc, _) in &page {
                let key = mxc.key();
                let body = |txn: Txn| async move {
                    let Some(mut row) = txn.get(MEDIA.at(key)).await? else {
                        return Ok(0);
                    };
                    let verdict = txn.get(MEDIA_VERDICTS.at(row.content)).await?;
                    let is_protected = verdict == Some(Verdict::Protected);
                    if row.is_quarantined == is_quarantined || is_quarantined && is_protected {
                        return Ok(0);
                    }
                    row.is_quarantined = is_quarantined;
                    txn.put(MEDIA.at(key), &row);
                    Ok::<_, StoreError>(1)
                };
                changed += self.store().transact(body).await?.0;
            }
        }
    }

    /// Decides about a content, whatever its names, now and later.
    pub async fn judge(
        &self,
        hash: ContentHash,
        verdict: Option<Verdict>,
    ) -> Result<(), StoreError> {
        let body = |txn: Txn| async move {
            match &verdict {
                Some(verdict) => txn.put(MEDIA_VERDICTS.at(hash), verdict),
                None => txn.delete(MEDIA_VERDICTS.at(hash)),
            }
            Ok(())
        };
        self.store().transact(body).await.map(|_| ())
    }

    /// The content that media has.
    pub async fn content_of(&self, mxc: &Mxc) -> Result<Option<ContentHash>, StoreError> {
        let row = self.snapshot().await?.get(MEDIA.at(mxc.key())).await?;
        Ok(row.map(|row| row.content))
    }

    /// What all media takes, counting a content for each of its names.
    pub async fn usage(&self) -> Result<Usage, StoreError> {
        let db = self.snapshot().await?;
        let mut usage = Usage::default();
        for ((is_remote, _), amount) in db.page(MEDIA_TOTALS.all(), 512).await? {
            let sum = if is_remote {
                &mut usage.remote
            } else {
                &mut usage.local
            };
            *sum = sum.and(amount);
        }
        Ok(usage)
    }

    pub async fn usage_of(&self, owner: UserNumber) -> Result<Amount, StoreError> {
        let row = self.snapshot().await?.get(MEDIA_USAGE.at(owner)).await?;
        Ok(row.unwrap_or_default().stored)
    }

    /// A page of a selection, after the last entry of the page before.
    async fn select(
        &self,
        which: &Selection,
        after: Option<&(Mxc, Millis)>,
    ) -> Result<Vec<(Mxc, Millis)>, StoreError> {
        let db = self.snapshot().await?;
        match which {
            Selection::These(all) => {
                let from = after.and_then(|(last, _)| all.iter().position(|mxc| mxc == last));
                let rest = &all[from.map_or(0, |from| from + 1)..];
                let page = rest.iter().take(PAGE);
                Ok(page.map(|mxc| (mxc.clone(), Millis(0))).collect())
            }
            Selection::Owner(owner) => {
                let mut rows = MEDIA_BY_OWNER.under(*owner);
                if let Some((mxc, created)) = after {
                    rows = rows.after((*owner, *created, mxc.id()));
                }
                let page = db.page(rows, PAGE).await?;
                let own = |((_, created, id), ()): ((_, Millis, String), ())| {
                    Mxc::from_key(self.server_name().as_str(), &id).map(|mxc| (mxc, created))
                };
                page.into_iter().map(own).collect()
            }
            Selection::Server(server) => {
                let mut rows = MEDIA.under(server.as_str());
                if let Some((mxc, _)) = after {
                    rows = rows.after(mxc.key());
                }
                let page = db.page(rows, PAGE).await?;
                let named = |((server, id), row): ((String, String), crate::tables::MediaRow)| {
                    Mxc::from_key(&server, &id).map(|mxc| (mxc, row.created))
                };
                page.into_iter().map(named).collect()
            }
            Selection::Before { time, is_remote } => {
                let mut rows = MEDIA_BY_AGE.under(*is_remote);
                rows = rows.before((*is_remote, *time, "", ""));
                if let Some((mxc, created)) = after {
                    let (server, id) = mxc.key();
                    rows = rows.after((*is_remote, *created, server, id));
                }
                let page = db.page(rows, PAGE).await?;
                let named = |((_, created, server, id), ()): ((_, Millis, String, String), ())| {
                    Mxc::from_key(&server, &id).map(|mxc| (mxc, created))
                };
                page.into_iter().map(named).collect()
            }
        }
    }

    /// Returns its size, or `None` if it stays.
    pub(crate) async fn delete_one(&self, mxc: &Mxc) -> Result<Option<u64>, StoreError> {
        let is_remote = !self.is_local(mxc);
        let body = |txn: Txn| async move {
            let Some(row) = txn.get(MEDIA.at(mxc.key())).await? else {
                return Ok(None);
            };
            let verdict = txn.get(MEDIA_VERDICTS.at(row.content)).await?;
            if verdict == Some(Verdict::Protected) {
                return Ok(None);
            }
            rows::remove(&txn, mxc, &row, is_remote).await?;
            Ok::<_, StoreError>(Some(row.size))
        };
        Ok(self.store().transact(body).await?.0)
    }

    /// Deletes the files of contents without references.
    pub(crate) async fn delete_unreferenced(&self) -> Result<(), UploadError> {
        loop {
            let db = self.snapshot().await?;
            let page = db.page(MEDIA_UNREFERENCED.all(), PAGE).await?;
            drop(db);
            for (hash, place) in &page {
                let may_delete = self.0.deletions.lock().await;
                let turn = self.0.contents.take(*hash).await;
                // Nobody stores this content during the turn.
                let is_used = self
                    .snapshot()
                    .await?
                    .exists(MEDIA_CONTENTS.at(*hash))
                    .await?;
                if !is_used {
                    self.storage(*place)?.remove(*hash).await?;
                }
                let body = |txn: Txn| async move {
                    txn.delete(MEDIA_UNREFERENCED.at(*hash));
                    Ok::<_, StoreError>(())
                };
                self.store().transact(body).await?;
                drop((turn, may_delete));
            }
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }
}
