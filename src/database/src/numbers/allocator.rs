//! Fresh numbers from durably reserved blocks: gaps are fine, a number given out twice is not. A
//! counter row would make all commits that take a number conflict.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{error::Result, read::Read, store::Store, table::Table};

/// The first number that is not reserved yet, by the name of the sequence.
pub static NUMBER_BLOCKS: Table<String, u64> = Table::new("number_blocks");

/// One sequence of numbers from 1 on. Clones share their block.
#[derive(Clone)]
pub struct Allocator {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    name: &'static str,
    /// What is reserved and not yet given out.
    block: Mutex<Range<u64>>,
    /// Held while a block is reserved, so that those who wait do not reserve their own.
    reserving: tokio::sync::Mutex<()>,
}

impl Allocator {
    const BLOCK: u64 = 1024;

    /// `name` stands in the database. One allocator for each name and process: two only waste.
    pub fn open(store: &Store, name: &'static str) -> Self {
        let inner = Inner {
            store: store.clone(),
            name,
            block: Mutex::new(0..0),
            reserving: tokio::sync::Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// A number that was never given out before. Waits for the disk once in 1024 times.
    pub async fn next(&self) -> Result<u64> {
        loop {
            if let Some(number) = self.take() {
                return Ok(number);
            }
            let _turn = self.inner.reserving.lock().await;
            if let Some(number) = self.take() {
                return Ok(number);
            }
            let reserved = self.reserve().await?;
            *self
                .inner
                .block
                .lock()
                .unwrap_or_else(PoisonError::into_inner) = reserved;
        }
    }

    fn take(&self) -> Option<u64> {
        self.inner
            .block
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next()
    }

    async fn reserve(&self) -> Result<Range<u64>> {
        let name = self.inner.name;
        let reserve = self.inner.store.transact(|txn| async move {
            let first = txn.get(NUMBER_BLOCKS.at(name)).await?.unwrap_or(1);
            txn.put(NUMBER_BLOCKS.at(name), &(first + Self::BLOCK));
            Ok(first..first + Self::BLOCK)
        });
        reserve.await.map(|(block, _)| block)
    }
}
