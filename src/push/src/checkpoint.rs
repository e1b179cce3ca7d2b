//! Counts as they are known: in memory, and now and then on disk.

use std::{collections::BTreeSet, sync::Arc};

use database::{Position, Read, RoomNumber, StoreError, UserNumber};

use crate::{
    counts::{Counts, MAIN, Unread},
    push::Parts,
    tables::{Checkpoint, UNREAD_CHECKPOINTS},
};

/// Events counted since the checkpoint, after which the next reader would have too much to count again.
const FAR: usize = 100;

/// Threads that are counted apart, for one reader in one room. Events of further ones count in the
/// main thread. Roots have at most 255 bytes, so a row has at most 90 KB.
const MAX_THREADS: usize = 150;

/// What a reader has not read, as of a stamp.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) row: Checkpoint,
    /// Events counted since the row that is on disk.
    pub(crate) counted: usize,
}

impl State {
    /// Nothing is unread at the join.
    pub(crate) fn at_join(joined_at: Position) -> Self {
        let row = Checkpoint {
            as_of: joined_at.0,
            joined_at,
            read: joined_at,
            main_read: joined_at,
            main: Counts::default(),
            threads_read: std::collections::BTreeMap::new(),
            threads: std::collections::BTreeMap::new(),
        };
        Self { row, counted: 0 }
    }

    pub(crate) fn unread(&self) -> Unread {
        Unread {
            main: self.row.main,
            threads: self.row.threads.clone(),
        }
    }

    /// Nothing of the thread up to here is unread.
    pub(crate) fn read_of(&self, thread: &str) -> Position {
        let own = match thread {
            MAIN => Some(&self.row.main_read),
            root => self.row.threads_read.get(root),
        };
        own.map_or(self.row.read, |own| self.row.read.max(*own))
    }

    /// The thread that an event of `thread` counts in.
    pub(crate) fn counted_in<'t>(&self, thread: &'t str) -> &'t str {
        let threads = &self.row.threads;
        if threads.len() >= MAX_THREADS && !threads.contains_key(thread) {
            return MAIN;
        }
        thread
    }

    pub(crate) fn counts_of(&mut self, thread: &str) -> &mut Counts {
        if thread == MAIN {
            return &mut self.row.main;
        }
        self.row.threads.entry(thread.to_owned()).or_default()
    }

    /// A receipt of a thread, or of the whole room if `thread` is empty. Gives the threads whose counts it may change.
    pub(crate) fn read_to(&mut self, thread: &str, position: Position) -> BTreeSet<String> {
        let (read, concerned) = match thread {
            "" => (
                &mut self.row.read,
                self.row
                    .threads
                    .keys()
                    .cloned()
                    .chain([MAIN.to_owned()])
                    .collect(),
            ),
            MAIN => (&mut self.row.main_read, BTreeSet::from([MAIN.to_owned()])),
            root => {
                let concerned = self.counted_in(root).to_owned();
                self.drop_oldest_receipt(root);
                let read = self.row.threads_read.entry(root.to_owned()).or_default();
                (read, BTreeSet::from([concerned]))
            }
        };
        if *read >= position {
            return BTreeSet::new();
        }
        *read = position;
        concerned
    }

    /// Makes room for the receipt of one more thread.
    fn drop_oldest_receipt(&mut self, root: &str) {
        let receipts = &mut self.row.threads_read;
        if receipts.len() < MAX_THREADS || receipts.contains_key(root) {
            return;
        }
        let oldest = receipts.iter().min_by_key(|(_, at)| **at);
        if let Some(oldest) = oldest.map(|(root, _)| root.clone()) {
            receipts.remove(&oldest);
        }
    }

    /// Threads with anything unread.
    pub(crate) fn unread_threads(&self) -> BTreeSet<String> {
        let main = (self.row.main != Counts::default()).then(|| MAIN.to_owned());
        self.row.threads.keys().cloned().chain(main).collect()
    }

    /// Forgets threads in which nothing is unread, and receipts of threads that say no more than that of the whole room.
    pub(crate) fn tidy(&mut self) {
        let read = self.row.read;
        self.row.threads_read.retain(|_, at| *at > read);
        self.row
            .threads
            .retain(|_, counts| *counts != Counts::default());
    }

    pub(crate) fn is_far_from_checkpoint(&self) -> bool {
        self.counted > FAR
    }

    /// Bytes in memory, about.
    pub(crate) fn weight(&self) -> u64 {
        let roots = self.row.threads.keys().chain(self.row.threads_read.keys());
        let threads: usize = roots.map(|root| root.len() + 96).sum();
        (size_of::<Self>() + 64 + threads) as u64
    }
}

/// Writes the checkpoint by and by; nobody waits for it. It is lost without harm.
pub(crate) fn keep(parts: &Arc<Parts>, key: (UserNumber, RoomNumber), state: &mut State) {
    state.counted = 0;
    let (row, store) = (state.row.clone(), parts.rooms.store().clone());
    parts.tasks.spawn(async move {
        let row = &row;
        let kept = store.transact::<_, StoreError, _>(|txn| async move {
            let old = txn.get(UNREAD_CHECKPOINTS.at(key)).await?;
            if old.is_none_or(|old| old.as_of < row.as_of) {
                txn.put(UNREAD_CHECKPOINTS.at(key), row);
                txn.may_wait();
            }
            Ok(())
        });
        if let Err(error) = kept.await {
            tracing::warn!(%error, "keeping unread counts failed; they are counted again");
        }
    });
}
