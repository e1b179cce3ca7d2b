//! The rows that change together, inside one transaction: media with its indexes, totals and usage,
//! and the references to contents.

use database::{Read as _, StoreError, Txn};

use crate::{
    id::{ContentHash, Mxc},
    tables::{
        Amount, ContentRow, MEDIA, MEDIA_BY_ACCESS, MEDIA_BY_AGE, MEDIA_BY_OWNER, MEDIA_CONTENTS,
        MEDIA_THUMBNAILS, MEDIA_TOTALS, MEDIA_UNREFERENCED, MEDIA_USAGE, MediaRow, Place,
        ThumbnailRow,
    },
    thumbnail::{MOST_PER_CONTENT, ThumbnailKey},
};

/// Adds media that there is not yet. `place` counts only for a content that is new.
pub(crate) async fn add(
    txn: &Txn,
    mxc: &Mxc,
    row: &MediaRow,
    is_remote: bool,
    place: Place,
) -> Result<(), StoreError> {
    refer(txn, row.content, row.size, place).await?;
    let (server, id) = mxc.key();
    txn.put(MEDIA.at((server, id)), row);
    txn.put(MEDIA_BY_AGE.at((is_remote, row.created, server, id)), &());
    txn.put(
        MEDIA_BY_ACCESS.at((is_remote, row.last_access, server, id)),
        &(),
    );
    let total = MEDIA_TOTALS.at((is_remote, row.content.0[0]));
    let sum = txn.get(total.clone()).await?.unwrap_or_default();
    txn.put(total, &sum.plus(row.size));
    if let Some(owner) = row.owner {
        txn.put(MEDIA_BY_OWNER.at((owner, row.created, id)), &());
        let mut usage = txn.get(MEDIA_USAGE.at(owner)).await?.unwrap_or_default();
        usage.stored = usage.stored.plus(row.size);
        txn.put(MEDIA_USAGE.at(owner), &usage);
    }
    Ok(())
}

/// Removes media, whose row is `row`.
pub(crate) async fn remove(
    txn: &Txn,
    mxc: &Mxc,
    row: &MediaRow,
    is_remote: bool,
) -> Result<(), StoreError> {
    let (server, id) = mxc.key();
    txn.delete(MEDIA.at((server, id)));
    txn.delete(MEDIA_BY_AGE.at((is_remote, row.created, server, id)));
    txn.delete(MEDIA_BY_ACCESS.at((is_remote, row.last_access, server, id)));
    let total = MEDIA_TOTALS.at((is_remote, row.content.0[0]));
    let sum = txn.get(total.clone()).await?.unwrap_or_default();
    txn.put(total, &sum.minus(row.size));
    if let Some(owner) = row.owner {
        txn.delete(MEDIA_BY_OWNER.at((owner, row.created, id)));
        let mut usage = txn.get(MEDIA_USAGE.at(owner)).await?.unwrap_or_default();
        usage.stored = usage.stored.minus(row.size);
        txn.put(MEDIA_USAGE.at(owner), &usage);
    }
    release(txn, row.content).await
}

/// Adds a thumbnail that there is not yet of a content that is still there.
pub(crate) async fn add_thumbnail(
    txn: &Txn,
    key: ThumbnailKey,
    row: &ThumbnailRow,
    place: Place,
) -> Result<(), StoreError> {
    txn.put(MEDIA_THUMBNAILS.at(key.row()), row);
    if row.content == key.content() {
        // The image is its own thumbnail, and goes with it.
        return Ok(());
    }
    refer(txn, row.content, row.size, place).await
}

async fn refer(txn: &Txn, hash: ContentHash, size: u64, place: Place) -> Result<(), StoreError> {
    let mut row = match txn.get(MEDIA_CONTENTS.at(hash)).await? {
        Some(row) => row,
        None => ContentRow {
            references: 0,
            size,
            place,
        },
    };
    row.references += 1;
    txn.put(MEDIA_CONTENTS.at(hash), &row);
    txn.delete(MEDIA_UNREFERENCED.at(hash));
    Ok(())
}

/// Takes one reference away. A content without any loses its thumbnails, which are references to
/// others.
async fn release(txn: &Txn, hash: ContentHash) -> Result<(), StoreError> {
    let mut released = vec![hash];
    while let Some(hash) = released.pop() {
        let Some(mut row) = txn.get(MEDIA_CONTENTS.at(hash)).await? else {
            continue;
        };
        row.references = row.references.saturating_sub(1);
        if row.references > 0 {
            txn.put(MEDIA_CONTENTS.at(hash), &row);
            continue;
        }
        txn.delete(MEDIA_CONTENTS.at(hash));
        txn.put(MEDIA_UNREFERENCED.at(hash), &row.place);
        let thumbnails = txn
            .page(MEDIA_THUMBNAILS.under(hash), MOST_PER_CONTENT)
            .await?;
        for ((content, width, height, kind), thumbnail) in thumbnails {
            txn.delete(MEDIA_THUMBNAILS.at((content, width, height, kind)));
            if thumbnail.content != hash {
                released.push(thumbnail.content);
            }
        }
    }
    Ok(())
}

impl Amount {
    pub(crate) fn plus(self, bytes: u64) -> Self {
        Self {
            files: self.files + 1,
            bytes: self.bytes.saturating_add(bytes),
        }
    }

    fn minus(self, bytes: u64) -> Self {
        Self {
            files: self.files.saturating_sub(1),
            bytes: self.bytes.saturating_sub(bytes),
        }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            files: self.files + other.files,
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}
