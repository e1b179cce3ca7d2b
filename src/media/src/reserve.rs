//! Media ids that are given out before their upload ("POST /_matrix/media/v1/create").

use database::{Millis, Read as _, Txn, UserNumber};

use crate::{
    error::UploadError,
    id::Mxc,
    media::Media,
    tables::{MEDIA, MEDIA_RESERVED, MEDIA_RESERVED_EXPIRIES, MEDIA_USAGE, MediaRow, ReservedRow},
};

/// A media id that waits for its upload.
#[derive(Clone, Debug)]
pub struct Reserved {
    pub mxc: Mxc,
    pub expires: Millis,
}

/// Expired ids that one sweep forgets at a time.
const PAGE: usize = 100;

impl Media {
    /// A new media id, to which only `owner` may upload.
    pub async fn create(&self, owner: UserNumber) -> Result<Reserved, UploadError> {
        let mxc = &Mxc::random(self.server_name(), &*self.0.needs.random);
        let now = self.0.needs.clock.now();
        let expires = now.plus(self.0.config.unused_expires_after);
        let limit = self.0.config.reserved_per_user;
        let turn = self.0.owners.take(owner).await;
        let body = |txn: Txn| async move {
            let mut usage = txn.get(MEDIA_USAGE.at(owner)).await?.unwrap_or_default();
            if usage.reserved >= limit {
                return Err(UploadError::TooMany);
            }
            usage.reserved += 1;
            txn.put(MEDIA_USAGE.at(owner), &usage);
            txn.put(MEDIA_RESERVED.at(mxc.id()), &ReservedRow { owner, expires });
            txn.put(MEDIA_RESERVED_EXPIRIES.at((expires, mxc.id())), &());
            Ok(())
        };
        self.store().transact(body).await?;
        drop(turn);
        Ok(Reserved {
            mxc: mxc.clone(),
            expires,
        })
    }

    /// Refuses an upload before its body is read. The commit checks again.
    pub(crate) async fn check_reserved(
        &self,
        owner: UserNumber,
        id: &str,
    ) -> Result<Mxc, UploadError> {
        let mxc = Mxc::new(self.server_name(), id).ok_or(UploadError::Unknown)?;
        let db = self.snapshot().await?;
        if db.exists(MEDIA.at(mxc.key())).await? {
            return Err(UploadError::Exists);
        }
        let row = db.get(MEDIA_RESERVED.at(id)).await?;
        match row.filter(|row| row.expires > self.0.needs.clock.now()) {
            None => Err(UploadError::Unknown),
            Some(row) if row.owner != owner => Err(UploadError::NotOwner),
            Some(_) => Ok(mxc),
        }
    }

    /// Whether an id waits for its upload.
    pub(crate) async fn is_reserved(&self, id: &str) -> Result<bool, database::StoreError> {
        let row = self.snapshot().await?.get(MEDIA_RESERVED.at(id)).await?;
        Ok(row.is_some_and(|row| row.expires > self.0.needs.clock.now()))
    }

    /// Forgets some ids whose upload never came. Returns whether there may be more.
    pub(crate) async fn forget_expired(&self) -> Result<bool, UploadError> {
        let now = self.0.needs.clock.now();
        let oldest = self.snapshot().await?;
        let oldest = oldest.page(MEDIA_RESERVED_EXPIRIES.all(), PAGE).await?;
        let expired = oldest.into_iter().map(|(key, ())| key);
        let expired: Vec<_> = expired.take_while(|(expires, _)| *expires <= now).collect();
        for (_, id) in &expired {
            let body = |txn: Txn| async move {
                match txn.get(MEDIA_RESERVED.at(id)).await? {
                    Some(row) => forget(&txn, id, row).await,
                    None => Ok(()),
                }
            };
            self.store().transact(body).await?;
        }
        Ok(expired.len() == PAGE)
    }
}

/// The upload of `row` takes the reserved id.
pub(crate) async fn take(txn: &Txn, id: &str, row: &MediaRow) -> Result<(), UploadError> {
    let reserved = txn.get(MEDIA_RESERVED.at(id)).await?;
    let reserved = reserved.filter(|reserved| reserved.expires > row.created);
    let reserved = reserved.ok_or(UploadError::Unknown)?;
    if Some(reserved.owner) != row.owner {
        return Err(UploadError::NotOwner);
    }
    forget(txn, id, reserved).await
}

async fn forget(txn: &Txn, id: &str, row: ReservedRow) -> Result<(), UploadError> {
    txn.delete(MEDIA_RESERVED.at(id));
    txn.delete(MEDIA_RESERVED_EXPIRIES.at((row.expires, id)));
    let mut usage = txn
        .get(MEDIA_USAGE.at(row.owner))
        .await?
        .unwrap_or_default();
    usage.reserved = usage.reserved.saturating_sub(1);
    txn.put(MEDIA_USAGE.at(row.owner), &usage);
    Ok(())
}
