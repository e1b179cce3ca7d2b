//! The bounds of stored rows. Reads copy values, logs hold them until they are flushed, and every
//! key is compared again and again: rows beyond these bounds slow everyone down, so a part splits
//! what can grow, or bounds it by a quota.
//!
//! A row beyond them is stored all the same, counted, and logged once per table: refusing it here
//! would come too late to answer a user well. A test that drives a part with its largest inputs
//! asserts that [`Store::oversized`](crate::Store::oversized) is empty afterwards.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::engine::{Commit, Write};

/// Greatest length of an encoded key, in bytes.
pub const LARGEST_KEY: usize = 10_000;
/// Greatest length of an encoded value, in bytes.
pub const LARGEST_VALUE: usize = 100_000;

/// A table that got rows beyond the bounds, since its store was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oversized {
    pub table: &'static str,
    /// How many such rows were written, in commits that may have failed.
    pub rows: u64,
    /// The longest key among them.
    pub key_bytes: usize,
    /// The longest value among them.
    pub value_bytes: usize,
}

/// Bounded by the number of tables.
#[derive(Default)]
pub(crate) struct Sizes(Mutex<BTreeMap<&'static str, Oversized>>);

impl Sizes {
    /// Looks at all rows of a commit.
    pub(crate) fn check(&self, commit: &Commit) {
        for write in &commit.writes {
            let (at, value_bytes) = match write {
                Write::Put(at, value)
                | Write::Append(at, value, _)
                | Write::PutPlaced(at, value, _) => (at, value.len()),
                Write::Delete(at) => (at, 0),
            };
            let key_bytes = at.key.len();
            if key_bytes > LARGEST_KEY || value_bytes > LARGEST_VALUE {
                self.count(at.table, key_bytes, value_bytes);
            }
        }
    }

    fn count(&self, table: &'static str, key_bytes: usize, value_bytes: usize) {
        match self.lock().entry(table) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.rows += 1;
                known.key_bytes = known.key_bytes.max(key_bytes);
                known.value_bytes = known.value_bytes.max(value_bytes);
            }
            Entry::Vacant(first) => {
                tracing::warn!(table, key_bytes, value_bytes, "a stored row is very large");
                first.insert(Oversized {
                    table,
                    rows: 1,
                    key_bytes,
                    value_bytes,
                });
            }
        }
    }

    pub(crate) fn list(&self) -> Vec<Oversized> {
        self.lock().values().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Oversized>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Position, Store, StoreError, Table};

    static NAMES: Table<String, String> = Table::new("names");
    static LOG: Table<(String, Position), Vec<u8>> = Table::new("log");

    async fn write(store: &Store, key: usize, value: usize) {
        let (key, value) = (&"k".repeat(key), &"v".repeat(value));
        let write = store.transact(|txn| async move {
            txn.put(NAMES.at(key), value);
            Ok::<_, StoreError>(())
        });
        write.await.expect("it is stored all the same");
    }

    #[tokio::test]
    async fn rows_beyond_the_bounds_are_counted_by_table() {
        let store = Store::memory();
        write(&store, 9_900, 99_900).await;
        assert_eq!(store.oversized(), []);

        write(&store, 10_001, 1).await;
        write(&store, 1, 100_000).await;
        let append = store.transact(|txn| async move {
            txn.append(LOG.end("x"), txn.slot(), &vec![0; 100_001]);
            Ok::<_, StoreError>(())
        });
        append.await.expect("a commit");

        let found = store.clone().oversized();
        assert_eq!(
            found.iter().map(|table| table.table).collect::<Vec<_>>(),
            ["log", "names"]
        );
        assert_eq!((found[1].rows, found[0].rows), (2, 1));
        assert!(found[1].key_bytes > LARGEST_KEY && found[1].value_bytes > LARGEST_VALUE);
    }
}
