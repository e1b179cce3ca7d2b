//! A RocksDB snapshot that owns what it looks at. The crate's only `unsafe`: the library's
//! snapshot borrows the database, ours keeps it alive.

use std::{mem::ManuallyDrop, sync::Arc};

use rocksdb::ReadOptions;

use crate::base::Base;

pub(crate) struct OwnedSnapshot {
    /// Borrows from `base`; released before it, in `drop`.
    snapshot: ManuallyDrop<rocksdb::Snapshot<'static>>,
    base: Arc<Base>,
}

impl OwnedSnapshot {
    pub(crate) fn take(base: Arc<Base>) -> Self {
        let snapshot = base.db.snapshot();
        // SAFETY: the snapshot refers to `base.db`, which lives on the heap behind `base` and so
        // does not move. `self` holds `base` until after it has dropped the snapshot, and never
        // hands the snapshot out for longer than a borrow of itself.
        #[expect(
            unsafe_code,
            reason = "the borrow is of something that the value itself owns"
        )]
        let snapshot = unsafe {
            std::mem::transmute::<rocksdb::Snapshot<'_>, rocksdb::Snapshot<'static>>(snapshot)
        };
        Self {
            snapshot: ManuallyDrop::new(snapshot),
            base,
        }
    }

    pub(crate) fn base(&self) -> &Base {
        &self.base
    }

    /// Makes reads with these options see this snapshot. They must not outlive it.
    pub(crate) fn set_on(&self, options: &mut ReadOptions) {
        options.set_snapshot(&*self.snapshot);
    }
}

impl Drop for OwnedSnapshot {
    fn drop(&mut self) {
        // SAFETY: dropped here once, and never used after.
        #[expect(
            unsafe_code,
            reason = "the snapshot has to go before the database it looks at"
        )]
        unsafe {
            ManuallyDrop::drop(&mut self.snapshot);
        }
    }
}
