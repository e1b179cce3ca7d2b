//! The one thread that writes. It takes all commits that wait, drops those whose reads no longer
//! hold, stamps the others, writes them as one batch with one disk sync, publishes the new view,
//! and only then answers. While it syncs, the next group gathers; it never waits to fill one.
//!
//! A batch that fails is answered as a failure for all of its commits. Its stamps are not used
//! again, because RocksDB's log may hold it all the same and bring it back at the next start.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use database::{
    Stamp, StoreError,
    engine::{Address, Commit, Span, View, Write},
    recent::Recent,
};
use rocksdb::{ReadOptions, ReadTier, WriteBatch, WriteOptions};
use tokio::sync::{oneshot, watch};

use crate::{
    base::Base,
    error::unavailable,
    health::Health,
    layout::{Tables, put_stamp, put_table, whole_key, whole_span},
    queue::{Pending, Queue},
    view::RocksView,
};

/// A clear of no more rows than this deletes them one by one: range deletions cost later reads.
const FEW_ROWS: usize = 32;

/// After so many groups that could not be written, the log says so again.
const REMIND: u64 = 1_000;

/// What readers see; the committer replaces it.
pub(crate) struct Published {
    pub(crate) view: RwLock<Arc<dyn View>>,
    pub(crate) stamp: watch::Sender<Stamp>,
    pub(crate) health: Mutex<Health>,
}

impl Published {
    pub(crate) fn new(view: Arc<dyn View>, stamp: Stamp) -> Self {
        Self {
            view: RwLock::new(view),
            stamp: watch::Sender::new(stamp),
            health: Mutex::new(Health::Writable),
        }
    }
}

pub(crate) struct Committer {
    base: Arc<Base>,
    queue: Arc<Queue>,
    published: Arc<Published>,
    tables: Arc<Tables>,
    /// The last stamp that was taken, also by a batch that failed.
    stamp: Stamp,
    recent: Recent,
    window: usize,
    /// Groups in a row that could not be written.
    refused: u64,
}

/// The batch of one group.
struct Group {
    batch: WriteBatch,
    accepted: Vec<(Answer, Stamp)>,
    conflicts: Vec<Answer>,
    /// With the tables that this group writes first.
    tables: Arc<Tables>,
    before: Stamp,
    last: Stamp,
    /// For building whole keys.
    key: Vec<u8>,
}

type Answer = oneshot::Sender<Result<Stamp, StoreError>>;

impl Committer {
    pub(crate) fn new(
        base: Arc<Base>,
        queue: Arc<Queue>,
        published: Arc<Published>,
        tables: Arc<Tables>,
        window: usize,
    ) -> Self {
        let stamp = *published.stamp.borrow();
        let recent = Recent::new(stamp, window);
        Self {
            base,
            queue,
            published,
            tables,
            stamp,
            recent,
            window,
            refused: 0,
        }
    }

    /// Until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut sync = WriteOptions::default();
        sync.set_sync(true);
        while let Some(waiting) = self.queue.next_group() {
            self.commit_group(waiting, &sync);
        }
    }

    fn commit_group(&mut self, waiting: VecDeque<Pending>, sync: &WriteOptions) {
        let mut group = Group {
            batch: WriteBatch::default(),
            accepted: Vec::with_capacity(waiting.len()),
            conflicts: Vec::new(),
            tables: self.tables.clone(),
            before: self.stamp,
            last: self.stamp,
            key: Vec::new(),
        };
        // Held until the answers are given: what is in work counts as waiting.
        let mut rooms = Vec::with_capacity(waiting.len());
        for pending in waiting {
            let Pending {
                commit,
                answer,
                room,
            } = pending;
            rooms.push(room);
            if answer.is_closed() {
                continue;
            }
            if self.recent.conflicts_with(&commit) {
                group.conflicts.push(answer);
            } else {
                self.add(&mut group, commit, answer);
            }
        }
        let written = self.write(&mut group, sync);
        // Not before the new view is out, or they would lose again with the old one; but before
        // the winners, who might come back and win again.
        for answer in group.conflicts {
            let _ = answer.send(Err(StoreError::Conflict));
        }
        for (answer, stamp) in group.accepted {
            let _ = answer.send(written.clone().map(|()| stamp));
        }
    }

    fn add(&mut self, group: &mut Group, commit: Commit, answer: Answer) {
        let stamp = group.last.next();
        for span in &commit.clears {
            self.clear(group, span);
        }
        let mut keys = Vec::with_capacity(commit.writes.len());
        for write in commit.writes {
            keys.push(group.write(write, stamp));
        }
        self.recent.remember(stamp, keys, commit.clears);
        group.last = stamp;
        group.accepted.push((answer, stamp));
    }

    fn clear(&self, group: &mut Group, span: &Span) {
        let Some(number) = group.tables.number(span.table) else {
            return;
        };
        let (from, to) = whole_span(number, span);
        if to <= from {
            return;
        }
        let few = self.few_rows(&from, &to);
        let Some(few) = few.filter(|_| self.recent.reaches_back_to(group.before)) else {
            group.batch.delete_range(from, to);
            return;
        };
        for key in few {
            group.batch.delete(key);
        }
        // What earlier commits of this group have put there is not in the database yet.
        for at in self.recent.keys_within(span, group.before) {
            group.batch.delete(whole_key(number, &at.key));
        }
    }

    /// The keys between, if they are few and known without a disk.
    fn few_rows(&self, from: &[u8], to: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut options = ReadOptions::default();
        options.set_read_tier(ReadTier::BlockCache);
        options.set_iterate_upper_bound(to);
        let mut rows = self.base.db.raw_iterator_opt(options);
        rows.seek(from);
        let mut keys = Vec::new();
        while let Some(key) = rows.key() {
            if keys.len() == FEW_ROWS {
                return None;
            }
            keys.push(key.to_vec());
            rows.next();
        }
        rows.status().is_ok().then_some(keys)
    }

    fn write(&mut self, group: &mut Group, sync: &WriteOptions) -> Result<(), StoreError> {
        if group.accepted.is_empty() {
            return Ok(());
        }
        self.stamp = group.last;
        put_stamp(&mut group.batch, group.last);
        let batch = std::mem::take(&mut group.batch);
        if let Err(error) = self.base.db.write_opt(batch, sync) {
            self.refused += 1;
            self.be(Health::after(&error));
            // What the failed commits wrote is no reason for a conflict. Whoever read before the
            // last good one reads again.
            self.recent = Recent::new(*self.published.stamp.borrow(), self.window);
            return Err(unavailable(error));
        }
        if self.refused > 0 {
            self.refused = 0;
            self.be(Health::Writable);
        }
        self.tables = group.tables.clone();
        self.publish(group.last);
        Ok(())
    }

    /// Tells what has changed, and now and then what has not.
    fn be(&self, health: Health) {
        let mut known = self
            .published
            .health
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *known != health || self.refused.is_multiple_of(REMIND) {
            health.log(self.refused);
        }
        *known = health;
    }

    fn publish(&self, stamp: Stamp) {
        let view: Arc<dyn View> = Arc::new(RocksView::take(
            self.base.clone(),
            stamp,
            self.tables.clone(),
        ));
        let mut published = self
            .published
            .view
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *published, view);
        drop(published);
        drop(old);
        self.published.stamp.send_replace(stamp);
    }
}

impl Group {
    /// Adds one row and returns where it is.
    fn write(&mut self, write: Write, stamp: Stamp) -> Address {
        let (at, value) = write.finish(stamp);
        let number = self.number(at.table);
        self.key.clear();
        self.key.extend_from_slice(&number.to_be_bytes());
        self.key.extend_from_slice(&at.key);
        match value {
            Some(value) => self.batch.put(&self.key, value),
            None => self.batch.delete(&self.key),
        }
        at
    }

    fn number(&mut self, table: &str) -> u16 {
        if let Some(number) = self.tables.number(table) {
            return number;
        }
        let number = Arc::make_mut(&mut self.tables).add(table);
        put_table(&mut self.batch, number, table);
        number
    }
}

impl Drop for Committer {
    /// Also when it panics: nobody may wait for an answer that cannot come.
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

#[cfg(test)]
mod tests {
    use database::{Order, engine::Durability};
    use tempfile::TempDir;
    use tokio::sync::Semaphore;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::{layout::load_stamp, options::Options};

    /// A committer that runs when the test says so: its groups are what the test makes of them.
    struct Bench {
        committer: Committer,
        group: VecDeque<Pending>,
        answers: Vec<oneshot::Receiver<Result<Stamp, StoreError>>>,
        _folder: TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().expect("a folder");
            let base = Base::open(&Options::new(folder.path(), TaskTracker::new()));
            let base = Arc::new(base.expect("it opens"));
            let stamp = load_stamp(&base.db).expect("a stamp");
            let tables = Arc::<Tables>::default();
            let view = RocksView::take(base.clone(), stamp, tables.clone());
            let published = Published::new(Arc::new(view), stamp);
            let queue = Arc::new(Queue::new(1 << 20));
            let committer = Committer::new(base, queue, Arc::new(published), tables, 1 << 20);
            Self {
                committer,
                group: VecDeque::new(),
                answers: Vec::new(),
                _folder: folder,
            }
        }

        fn add(&mut self, reads: &[u8], clears: &[(u8, u8)], puts: &[u8]) {
            let at = |key: &u8| Address {
                table: "t",
                key: vec![*key],
            };
            let commit = Commit {
                since: *self.committer.published.stamp.borrow(),
                points: reads.iter().map(at).collect(),
                spans: Vec::new(),
                clears: clears.iter().map(|(from, to)| span(*from, *to)).collect(),
                writes: puts
                    .iter()
                    .map(|key| Write::Put(at(key), vec![*key]))
                    .collect(),
                durability: Durability::Now,
            };
            let room = Arc::new(Semaphore::new(1))
                .try_acquire_owned()
                .expect("room");
            let (answer, answered) = oneshot::channel();
            self.group.push_back(Pending {
                commit,
                answer,
                room,
            });
            self.answers.push(answered);
        }

        /// How far after the start each commit's stamp is; `None` for a conflict.
        fn run(&mut self) -> Vec<Option<u64>> {
            let group = std::mem::take(&mut self.group);
            let mut sync = WriteOptions::default();
            sync.set_sync(true);
            self.committer.commit_group(group, &sync);
            let answers = self
                .answers
                .drain(..)
                .map(|mut answer| match answer.try_recv() {
                    Ok(Ok(stamp)) => Some(stamp.0 - Stamp::START.0),
                    Ok(Err(StoreError::Conflict)) => None,
                    other => panic!("{other:?}"),
                });
            answers.collect()
        }

        fn keys(&self) -> Vec<u8> {
            let view = self
                .committer
                .published
                .view
                .read()
                .expect("not poisoned")
                .clone();
            let mut keys = Vec::new();
            let all = Span {
                table: "t",
                from: Vec::new(),
                to: None,
            };
            let scan = view.scan_now(&all, Order::Forward, 500, &mut |key, _| keys.push(key[0]));
            scan.expect("a scan");
            keys
        }
    }

    fn span(from: u8, to: u8) -> Span {
        Span {
            table: "t",
            from: vec![from],
            to: Some(vec![to]),
        }
    }

    #[test]
    fn a_commit_that_read_what_an_earlier_one_of_its_group_wrote_conflicts() {
        let mut bench = Bench::new();
        bench.add(&[1], &[], &[1]);
        bench.add(&[1], &[], &[1]);
        bench.add(&[2], &[], &[2]);
        bench.add(&[3], &[(2, 3)], &[4]);
        bench.add(&[2], &[], &[5]);
        assert_eq!(bench.run(), [Some(1), None, Some(2), Some(3), None]);
        assert_eq!(bench.keys(), [1, 4]);
        // What lost is not remembered as written.
        bench.add(&[5], &[], &[6]);
        assert_eq!(bench.run(), [Some(4)]);
    }

    #[test]
    fn a_clear_takes_what_earlier_commits_of_its_group_put() {
        for many in [0, 100] {
            let mut bench = Bench::new();
            let stored: Vec<u8> = (100..100 + many).collect();
            bench.add(&[], &[], &stored);
            bench.add(&[], &[], &[1, 250]);
            bench.run();
            bench.add(&[], &[], &[2, 3]);
            bench.add(&[], &[(0, 240)], &[3, 4]);
            bench.add(&[], &[], &[5]);
            bench.run();
            assert_eq!(bench.keys(), [3, 4, 5, 250]);
        }
    }

    #[test]
    fn who_no_longer_waits_is_left_out() {
        let mut bench = Bench::new();
        bench.add(&[], &[], &[1]);
        bench.add(&[], &[], &[2]);
        drop(bench.answers.remove(0));
        assert_eq!(bench.run(), [Some(1)]);
        assert_eq!(bench.keys(), [2]);
    }
}
