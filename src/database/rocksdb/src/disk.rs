//! What the committer needs of a database: small, so that its tests can put another in place of
//! RocksDB, and fail it as they like.

use std::sync::Arc;

use database::{Stamp, engine::View};

use crate::{health::Health, layout::Tables};

/// A set of writes. Later ones win.
pub(crate) trait Batch: Default {
    fn put(&mut self, key: &[u8], value: &[u8]);
    fn delete(&mut self, key: &[u8]);
    fn delete_range(&mut self, from: &[u8], to: &[u8]);
}

pub(crate) trait Disk: Send {
    type Batch: Batch;

    /// All of the batch, on disk when it returns. After an error it may be on disk or not, and
    /// further writes may fail until the database is opened again.
    fn write(&mut self, batch: Self::Batch) -> Result<(), Failure>;

    /// The keys between, if they are no more than `limit` and known without a disk.
    fn few_rows(&self, from: &[u8], to: &[u8], limit: usize) -> Option<Vec<Vec<u8>>>;

    /// Everything written so far.
    fn view(&self, stamp: Stamp, tables: &Arc<Tables>) -> Result<Arc<dyn View>, Failure>;

    /// Whether the cause of a failure is gone, as far as a small file can show it.
    fn probe(&mut self) -> Result<(), Failure>;

    /// Closes the database and opens it again, without the writes after the commit of
    /// `acknowledged`, which have failed. No view may be handed out meanwhile. On an error the
    /// database may be readable or closed; `view` shows which.
    fn reopen(&mut self, acknowledged: Stamp) -> Result<(), Failure>;
}

#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) health: Health,
    pub(crate) text: String,
}

impl From<rocksdb::Error> for Failure {
    fn from(error: rocksdb::Error) -> Self {
        Self {
            health: Health::after(&error),
            text: error.into_string(),
        }
    }
}

impl Failure {
    pub(crate) fn other(text: impl std::fmt::Display) -> Self {
        let text = text.to_string();
        Self {
            health: Health::ReadOnly(text.clone()),
            text,
        }
    }
}
