//! The one thread that writes. It takes all commits that wait, drops those whose reads no longer
//! hold, stamps the others, writes them as one batch with one disk sync, publishes the new view,
//! and only then answers. While it syncs, the next group gathers; it never waits to fill one.
//!
//! A batch that fails is answered as a failure for all of its commits. Its stamps are not used
//! again, because RocksDB's log may hold it all the same and bring it back at the next start.
//!
//! After a failure whose cause can go away, the thread looks now and then whether it has, and opens
//! the database again; the failed batches are cut off its log first.

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use database::{
    Clock, Stamp, StoreError,
    engine::{Address, Commit, Span, View, Write},
    recent::Recent,
};
use tokio::sync::{oneshot, watch};

use crate::{
    disk::{Batch, Disk, Failure},
    error::unavailable,
    health::Health,
    layout::{STAMP, Tables, table_row, whole_key, whole_span},
    queue::{Next, Pending, Queue},
};

/// A clear of no more rows than this deletes them one by one: range deletions cost later reads.
const FEW_ROWS: usize = 32;

/// After so many groups that could not be written, the log repeats why.
const REMIND: u64 = 1_000;

/// How long after a failure the database is opened again; doubled after each attempt in vain.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// What readers get; the committer replaces it. All ends are closed when it stops.
pub(crate) struct Published {
    pub(crate) view: watch::Sender<Current>,
    pub(crate) stamp: watch::Sender<Stamp>,
    pub(crate) health: watch::Sender<Health>,
}

#[derive(Clone)]
pub(crate) enum Current {
    View(Arc<dyn View>),
    /// The database is being opened again; soon there is a view of this stamp.
    Reopening(Stamp),
    /// It could not be opened again, and this is why; it will be tried again.
    Closed(String),
}

impl Published {
    pub(crate) fn new(view: Arc<dyn View>, stamp: Stamp) -> Self {
        Self {
            view: watch::Sender::new(Current::View(view)),
            stamp: watch::Sender::new(stamp),
            health: watch::Sender::new(Health::Writable),
        }
    }
}

pub(crate) struct Committer<D: Disk> {
    disk: D,
    queue: Arc<Queue>,
    published: Published,
    tables: Arc<Tables>,
    /// The last stamp that was taken, also by a batch that failed.
    stamp: Stamp,
    recent: Recent,
    window: usize,
    /// Groups in a row that could not be written.
    refused: u64,
    retry: Option<Retry>,
    clock: Arc<dyn Clock>,
}

/// When the database is opened again.
struct Retry {
    /// By the monotonic clock.
    at: Duration,
    wait: Duration,
}

/// The batch of one group.
struct Group<B> {
    batch: B,
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

impl<D: Disk> Committer<D> {
    pub(crate) fn new(
        disk: D,
        queue: Arc<Queue>,
        published: Published,
        tables: Arc<Tables>,
        window: usize,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let stamp = *published.stamp.borrow();
        let recent = Recent::new(stamp, window);
        Self {
            disk,
            queue,
            published,
            tables,
            stamp,
            recent,
            window,
            refused: 0,
            retry: None,
            clock,
        }
    }

    /// Until the queue is closed and empty. Returns the last commit that was acknowledged.
    pub(crate) fn run(mut self) -> Stamp {
        loop {
            match self.queue.next_group(self.patience()) {
                Next::Group(waiting) => self.commit_group(waiting),
                Next::Idle => self.reopen_when_due(),
                Next::Closed => return self.acknowledged(),
            }
        }
    }

    fn patience(&self) -> Option<Duration> {
        let retry = self.retry.as_ref()?;
        Some(retry.at.saturating_sub(self.clock.monotonic()))
    }

    fn acknowledged(&self) -> Stamp {
        *self.published.stamp.borrow()
    }

    fn commit_group(&mut self, waiting: VecDeque<Pending>) {
        self.reopen_when_due();
        let mut group = Group {
            batch: D::Batch::default(),
            accepted: Vec::with_capacity(waiting.len()),
            conflicts: Vec::new(),
            tables: self.tables.clone(),
            before: self.stamp,
            last: self.stamp,
            key: Vec::new(),
        };
        // Held until the answers are given: what is being written counts as waiting.
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
        let written = self.write(&mut group);
        // Not before the new view is out, or they would lose again with the old one; but before
        // the winners, who might come back and win again.
        for answer in group.conflicts {
            let _ = answer.send(Err(StoreError::Conflict));
        }
        for (answer, stamp) in group.accepted {
            let _ = answer.send(written.clone().map(|()| stamp));
        }
    }

    fn add(&mut self, group: &mut Group<D::Batch>, commit: Commit, answer: Answer) {
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

    fn clear(&self, group: &mut Group<D::Batch>, span: &Span) {
        let Some(number) = group.tables.number(span.table) else {
            return;
        };
        let (from, to) = whole_span(number, span);
        if to <= from {
            return;
        }
        let few = self.disk.few_rows(&from, &to, FEW_ROWS);
        let Some(few) = few.filter(|_| self.recent.reaches_back_to(group.before)) else {
            group.batch.delete_range(&from, &to);
            return;
        };
        for key in few {
            group.batch.delete(&key);
        }
        // What earlier commits of this group have put there is not in the database yet.
        for at in self.recent.keys_within(span, group.before) {
            group.batch.delete(&whole_key(number, &at.key));
        }
    }

    fn write(&mut self, group: &mut Group<D::Batch>) -> Result<(), StoreError> {
        if group.accepted.is_empty() {
            return Ok(());
        }
        self.stamp = group.last;
        group.batch.put(STAMP, &group.last.0.to_be_bytes());
        let batch = std::mem::take(&mut group.batch);
        if let Err(failure) = self.disk.write(batch) {
            self.refused += 1;
            let text = failure.text.clone();
            self.failed(failure);
            // What the failed commits wrote is no reason for a conflict. Commits that read before
            // the last good one read again.
            self.recent = Recent::new(self.acknowledged(), self.window);
            return Err(unavailable(text));
        }
        if self.refused > 0 {
            self.recovered();
        }
        self.tables = group.tables.clone();
        match self.disk.view(group.last, &self.tables) {
            Ok(view) => self.publish(view, group.last),
            // It was open a moment ago, and this thread alone closes it.
            Err(failure) => return Err(unavailable(failure.text)),
        }
        Ok(())
    }

    /// Reports what has changed, and now and then what has not.
    fn failed(&mut self, failure: Failure) {
        let known = self.published.health.borrow().clone();
        // The first cause counts: what follows it is often "previous error".
        let is_first = known == Health::Writable || matches!(failure.health, Health::Damaged(_));
        let health = if is_first {
            failure.health
        } else {
            known.clone()
        };
        if health != known || self.refused.is_multiple_of(REMIND) {
            health.log(self.refused);
        }
        if self.retry.is_none() && health.can_reopen() {
            self.retry = Some(Retry {
                at: self.clock.monotonic() + FIRST_RETRY,
                wait: FIRST_RETRY,
            });
        }
        self.published.health.send_replace(health);
    }

    fn recovered(&mut self) {
        self.refused = 0;
        self.retry = None;
        Health::Writable.log(0);
        self.published.health.send_replace(Health::Writable);
    }

    fn reopen_when_due(&mut self) {
        let now = self.clock.monotonic();
        let Some(retry) = self.retry.as_mut().filter(|retry| retry.at <= now) else {
            return;
        };
        retry.wait = (retry.wait * 2).min(LAST_RETRY);
        retry.at = now + retry.wait;
        match self.reopen() {
            Ok(()) => self.recovered(),
            Err(failure) => {
                tracing::warn!(
                    error = failure.text,
                    "the database cannot be opened again yet"
                );
            }
        }
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        self.disk.probe()?;
        let stamp = self.acknowledged();
        // Also lets go of the view that was published last.
        self.published.view.send_replace(Current::Reopening(stamp));
        let reopened = self.disk.reopen(stamp);
        // Nothing that failed is there any more, so what was published holds again; without the
        // tables that only failed batches have written.
        self.recent = Recent::new(stamp, self.window);
        let current = match self.disk.view(stamp, &self.tables) {
            Ok(view) => Current::View(view),
            Err(failure) => Current::Closed(failure.text),
        };
        self.published.view.send_replace(current);
        reopened
    }

    fn publish(&self, view: Arc<dyn View>, stamp: Stamp) {
        let old = self.published.view.send_replace(Current::View(view));
        drop(old);
        self.published.stamp.send_replace(stamp);
    }
}

impl<B: Batch> Group<B> {
    /// Adds one row and returns where it is.
    fn write(&mut self, write: Write, stamp: Stamp) -> Address {
        let (at, value) = write.finish(stamp);
        let number = self.number(at.table);
        self.key.clear();
        self.key.extend_from_slice(&number.to_be_bytes());
        self.key.extend_from_slice(&at.key);
        match value {
            Some(value) => self.batch.put(&self.key, &value),
            None => self.batch.delete(&self.key),
        }
        at
    }

    fn number(&mut self, table: &str) -> u16 {
        if let Some(number) = self.tables.number(table) {
            return number;
        }
        let number = Arc::make_mut(&mut self.tables).add(table);
        self.batch.put(&table_row(number), table.as_bytes());
        number
    }
}

impl<D: Disk> Drop for Committer<D> {
    /// Also when it panics: nobody may wait for an answer that cannot come.
    fn drop(&mut self) {
        self.queue.abandon();
    }
}
