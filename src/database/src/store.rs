//! The store: snapshots for reading, transactions for writing.

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    engine::Engine,
    error::{Result, StoreError},
    memory::Memory,
    read::{Read, Snapshot},
    sizes::{Oversized, Sizes},
    stamp::{Position, Stamp},
    txn::Txn,
};

/// A handle on the database, whatever its engine.
#[derive(Clone)]
pub struct Store {
    engine: Arc<dyn Engine>,
    sizes: Arc<Sizes>,
}

impl Store {
    /// How often a body may lose the race before its caller gets an error.
    const TRIES: u32 = 64;

    pub fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine,
            sizes: Arc::default(),
        }
    }

    /// An empty database in memory, for tests; see [`Memory`] to inject errors.
    pub fn memory() -> Self {
        Self::new(Arc::new(Memory::new()))
    }

    /// The newest visible state, for as long as the snapshot is held.
    #[expect(
        clippy::unused_async,
        reason = "an engine across a network will have to ask"
    )]
    pub async fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot(self.engine.snapshot()))
    }

    /// Runs `body` until it commits, 64 times at most. `body` may run more than once, so it must
    /// only touch its transaction: ids, times, signatures and network come before it. Its own
    /// errors abort the transaction and come back unchanged. A body that writes nothing takes no
    /// stamp and touches no disk: it returns the stamp that it read at. Otherwise the answer is
    /// given when the commit is on disk and visible.
    pub async fn transact<T, E, F>(&self, body: impl Fn(Txn) -> F) -> Result<(T, Stamp), E>
    where
        E: From<StoreError>,
        F: Future<Output = Result<T, E>> + Send,
    {
        for _ in 0..Self::TRIES {
            let txn = Txn::new(self.engine.snapshot());
            let value = body(txn.clone()).await?;
            let Some(commit) = txn.finish() else {
                return Ok((value, txn.stamp()));
            };
            drop(txn);
            self.sizes.check(&commit);
            match self.engine.commit(commit).await {
                Ok(stamp) => return Ok((value, stamp)),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Contended.into())
    }

    /// The two halves of `transact`, for tests that act between them.
    #[cfg(any(test, feature = "suite"))]
    pub(crate) fn begin(&self) -> Txn {
        Txn::new(self.engine.snapshot())
    }

    #[cfg(any(test, feature = "suite"))]
    pub(crate) async fn try_commit(&self, txn: &Txn) -> Result<Stamp> {
        match txn.finish() {
            Some(commit) => self.engine.commit(commit).await,
            None => Ok(txn.stamp()),
        }
    }

    /// The tables that got rows beyond the bounds of [`sizes`](crate::sizes), through this store
    /// and its clones.
    pub fn oversized(&self) -> Vec<Oversized> {
        self.sizes.list()
    }

    /// The newest visible stamp, to be watched: it changes after each group of commits.
    pub fn published(&self) -> watch::Receiver<Stamp> {
        self.engine.published()
    }

    /// Translates a stamp from a client's token: one that was lost by a restore from a backup
    /// becomes the last one of that backup. Every token goes through this.
    pub fn clamp(&self, stamp: Stamp) -> Stamp {
        self.engine.clamp(stamp)
    }

    /// [`Store::clamp`] for a position in a token.
    pub fn clamp_position(&self, position: Position) -> Position {
        let stamp = self.clamp(position.0);
        if stamp == position.0 {
            position
        } else {
            Position::last_of(stamp)
        }
    }
}
