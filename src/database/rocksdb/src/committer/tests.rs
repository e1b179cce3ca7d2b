//! Groups made by the test: on RocksDB, and on a disk with injected failures.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use database::{
    MockClock, Order,
    engine::{BoxFuture, Durability, Now, Raw, Scan},
};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::*;
use crate::{
    base::{self, Shared},
    layout::load_stamp,
    options::Options,
    rocks_disk::RocksDisk,
};

/// A committer without its thread: the test makes the groups and runs them.
struct Bench<D: Disk = RocksDisk> {
    committer: Committer<D>,
    group: VecDeque<Pending>,
    answers: Vec<oneshot::Receiver<Result<Stamp, StoreError>>>,
    clock: Arc<MockClock>,
    _folder: Option<TempDir>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options::new(folder.path(), TaskTracker::new());
        let rocksdb = options.rocksdb();
        let db = base::create(&rocksdb, folder.path()).expect("it opens");
        let stamp = load_stamp(&db).expect("a stamp");
        let disk = RocksDisk::new(db, &options, rocksdb, Shared::default());
        Self::on(disk, stamp, Some(folder))
    }
}

impl<D: Disk> Bench<D> {
    fn on(disk: D, stamp: Stamp, folder: Option<TempDir>) -> Self {
        let tables = Arc::<Tables>::default();
        let view = disk.view(stamp, &tables).expect("a view");
        let published = Published::new(view, stamp);
        let queue = Arc::new(Queue::new(1 << 20));
        let clock = Arc::new(MockClock::default());
        let committer = Committer::new(disk, queue, published, tables, 1 << 20, clock.clone());
        Self {
            committer,
            group: VecDeque::new(),
            answers: Vec::new(),
            clock,
            _folder: folder,
        }
    }

    fn add(&mut self, reads: &[u8], clears: &[(u8, u8)], puts: &[u8]) {
        let at = |key: &u8| Address {
            table: "t",
            key: vec![*key],
        };
        let commit = Commit {
            since: self.committer.acknowledged(),
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
        self.committer.commit_group(group);
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
        let Current::View(view) = self.committer.published.view.borrow().clone() else {
            panic!("the database is closed");
        };
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

/// Rows in memory; what is asked for fails.
#[derive(Clone, Default)]
struct FakeDisk(Arc<Mutex<FakeState>>);

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fault that a test asks for"
)]
#[derive(Default)]
struct FakeState {
    /// On disk, by the stamp of the batch that wrote it last.
    rows: BTreeMap<Raw, (u64, Option<Raw>)>,
    /// While this is set, writes fail.
    failing: Option<Health>,
    /// Failed batches are on disk all the same.
    keeps_failed: bool,
    /// Writes fail until the database is opened again, though the cause is gone.
    is_stuck: bool,
    /// Opening it again fails, and leaves it closed.
    cannot_open: bool,
    is_closed: bool,
    openings: usize,
}

#[derive(Default)]
struct FakeBatch(Vec<(Raw, Option<Raw>)>);

impl Batch for FakeBatch {
    fn put(&mut self, key: &[u8], value: &[u8]) {
        self.0.push((key.to_vec(), Some(value.to_vec())));
    }

    fn delete(&mut self, key: &[u8]) {
        self.0.push((key.to_vec(), None));
    }

    fn delete_range(&mut self, _: &[u8], _: &[u8]) {
        unreachable!("few rows are deleted one by one");
    }
}

struct FakeView(Stamp);

impl FakeDisk {
    fn state(&self) -> std::sync::MutexGuard<'_, FakeState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keys of the test's table.
    fn keys(&self) -> Vec<u8> {
        let state = self.state();
        let rows = state
            .rows
            .iter()
            .filter(|(key, (_, value))| key[..2] != [0, 0] && value.is_some());
        rows.map(|(key, _)| key[2]).collect()
    }
}

impl Disk for FakeDisk {
    type Batch = FakeBatch;

    fn write(&mut self, batch: FakeBatch) -> Result<(), Failure> {
        let mut state = self.state();
        let failing = state.failing.clone();
        state.is_stuck |= failing.is_some();
        let fails = state.is_stuck || state.is_closed;
        if !fails || state.keeps_failed {
            let (_, stamp) = batch.0.last().expect("the stamp comes last");
            let stamp = stamp.as_deref().and_then(|raw| raw.try_into().ok());
            let stamp = u64::from_be_bytes(stamp.expect("a stamp"));
            for (key, value) in batch.0 {
                state.rows.insert(key, (stamp, value));
            }
        }
        if fails {
            let health = failing.unwrap_or(Health::ReadOnly("previous error".to_owned()));
            let text = health.to_string();
            return Err(Failure { health, text });
        }
        Ok(())
    }

    fn few_rows(&self, _: &[u8], _: &[u8], _: usize) -> Option<Vec<Raw>> {
        Some(Vec::new())
    }

    fn view(&self, stamp: Stamp, _: &Arc<Tables>) -> Result<Arc<dyn View>, Failure> {
        if self.state().is_closed {
            return Err(Failure::other("closed"));
        }
        Ok(Arc::new(FakeView(stamp)))
    }

    fn probe(&mut self) -> Result<(), Failure> {
        match &self.state().failing {
            Some(health) => Err(Failure::other(health)),
            None => Ok(()),
        }
    }

    fn reopen(&mut self, acknowledged: Stamp) -> Result<(), Failure> {
        let mut state = self.state();
        state.openings += 1;
        state.is_closed = state.cannot_open;
        if state.is_closed {
            return Err(Failure::other("it cannot be opened"));
        }
        state.is_stuck = false;
        state.rows.retain(|_, (stamp, _)| *stamp <= acknowledged.0);
        Ok(())
    }
}

impl View for FakeView {
    fn stamp(&self) -> Stamp {
        self.0
    }

    fn get_now(
        &self,
        _: &'static str,
        _: &[u8],
        _: &mut dyn FnMut(&[u8]),
    ) -> Result<Now, StoreError> {
        Ok(Now::Absent)
    }

    fn get<'a>(
        &'a self,
        _: &'static str,
        keys: &'a [Raw],
    ) -> BoxFuture<'a, Result<Vec<Option<Raw>>, StoreError>> {
        Box::pin(async move { Ok(vec![None; keys.len()]) })
    }

    fn scan_now(
        &self,
        _: &Span,
        _: Order,
        _: usize,
        _: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<Scan, StoreError> {
        Ok(Scan::Done)
    }

    fn scan<'a>(
        &'a self,
        _: &'a Span,
        _: Order,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<(Raw, Raw)>, StoreError>> {
        Box::pin(async move { Ok(Vec::new()) })
    }
}

impl Bench<FakeDisk> {
    fn fake() -> (Self, FakeDisk) {
        let disk = FakeDisk::default();
        (Self::on(disk.clone(), Stamp::START, None), disk)
    }

    /// Whether a put of this key succeeds.
    fn puts(&mut self, key: u8) -> bool {
        self.add(&[], &[], &[key]);
        let group = std::mem::take(&mut self.group);
        self.committer.commit_group(group);
        let mut answer = self.answers.pop().expect("there is one");
        match answer.try_recv().expect("it was answered") {
            Ok(_) => true,
            Err(StoreError::Unavailable(_)) => false,
            Err(other) => panic!("{other}"),
        }
    }

    fn health(&self) -> Health {
        self.committer.published.health.borrow().clone()
    }
}

#[test]
fn an_exceeded_quota_is_over_when_there_is_room_again() {
    for health in [Health::OverQuota, Health::TooManyOpenFiles] {
        for keeps_failed in [false, true] {
            let (mut bench, disk) = Bench::fake();
            disk.state().keeps_failed = keeps_failed;
            assert!(bench.puts(1));
            disk.state().failing = Some(health.clone());
            for key in 2..6 {
                assert!(!bench.puts(key));
                bench.clock.advance(Duration::from_secs(10));
            }
            assert_eq!(bench.health(), health);
            assert_eq!(disk.state().openings, 0, "the cause has not gone");

            disk.state().failing = None;
            bench.clock.advance(Duration::from_secs(60));
            bench.committer.reopen_when_due();

            assert_eq!(bench.health(), Health::Writable, "without any commit");
            assert_eq!(disk.keys(), [1], "what failed is not there");
            assert!(bench.puts(7));
            assert_eq!(disk.keys(), [1, 7]);
            assert!(
                bench.committer.patience().is_none(),
                "nothing is left to try"
            );
        }
    }
}

#[test]
fn opening_again_is_tried_less_and_less_often() {
    let (mut bench, disk) = Bench::fake();
    disk.state().failing = Some(Health::OverQuota);
    assert!(!bench.puts(1));
    disk.state().failing = None;
    disk.state().cannot_open = true;
    let mut openings = 0;
    let mut waits = Vec::new();
    for second in 1..=120 {
        bench.clock.advance(Duration::from_secs(1));
        bench.committer.reopen_when_due();
        if disk.state().openings > openings {
            openings += 1;
            waits.push(second);
        }
    }
    assert_eq!(waits, [1, 3, 7, 15, 31, 61, 91]);
    assert!(matches!(
        *bench.committer.published.view.borrow(),
        Current::Closed(_)
    ));
    assert!(!bench.puts(2));

    disk.state().cannot_open = false;
    bench.clock.advance(Duration::from_secs(30));
    assert!(
        bench.puts(3),
        "a commit that comes when it is due finds it open"
    );
    assert_eq!(disk.keys(), [3]);
}

#[test]
fn other_errors_wait_for_the_operator() {
    let (mut bench, disk) = Bench::fake();
    disk.state().failing = Some(Health::ReadOnly("Input/output error".to_owned()));
    assert!(!bench.puts(1));
    disk.state().failing = None;
    bench.clock.advance(Duration::from_secs(600));
    assert!(!bench.puts(2));
    assert_eq!(disk.state().openings, 0);
    assert_eq!(
        bench.health(),
        Health::ReadOnly("Input/output error".to_owned())
    );
}

/// RocksDB recovers from a full disk by itself.
#[test]
fn a_full_disk_is_over_when_a_write_succeeds() {
    let (mut bench, disk) = Bench::fake();
    disk.state().failing = Some(Health::Full);
    assert!(!bench.puts(1));
    assert_eq!(bench.health(), Health::Full);
    disk.state().failing = None;
    disk.state().is_stuck = false;
    assert!(bench.puts(2));
    assert_eq!(bench.health(), Health::Writable);
}

/// Also when its thread panics: followers wait for the next stamp, others for their answers.
#[tokio::test]
async fn nobody_waits_for_a_committer_that_has_stopped() {
    let (bench, _disk) = Bench::fake();
    let Bench { committer, .. } = bench;
    let queue = committer.queue.clone();
    let mut stamps = committer.published.stamp.subscribe();
    let mut view = committer.published.view.subscribe();
    let commit = Commit {
        since: Stamp::START,
        points: Vec::new(),
        spans: Vec::new(),
        clears: Vec::new(),
        writes: Vec::new(),
        durability: Durability::Now,
    };
    let stop = async { drop(committer) };
    let waiting = async { tokio::join!(queue.commit(commit), stamps.changed(), view.changed()) };
    let ((answer, stamp, view), ()) = tokio::join!(biased; waiting, stop);
    assert!(matches!(answer, Err(StoreError::Unavailable(_))));
    assert!(stamp.is_err() && view.is_err());
}
