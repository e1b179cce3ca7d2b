//! Followers: parts that react to the commits of others. Each reads the server's log from its own
//! durable cursor; its effects and its cursor are one commit.

use tokio::sync::watch;

use crate::{
    error::{Result, StoreError},
    read::Read,
    server_log::{Concern, SERVER_LOG},
    stamp::{Position, Stamp},
    store::Store,
    table::Table,
    txn::Txn,
};

/// The last entry of the server's log that each follower has processed, by its name. Written by the
/// followers, mostly without waiting for their own disk sync (`may_wait`).
pub static CURSORS: Table<String, Position> = Table::new("cursors");

/// Where a follower without a cursor begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With the oldest entry that is still in the log.
    Oldest,
    /// With the first entry from now on.
    Newest,
}

/// One follower's place in the log. One instance for each name.
pub struct Follower {
    store: Store,
    name: &'static str,
    cursor: Position,
    published: watch::Receiver<Stamp>,
}

impl Follower {
    /// Resumes where the follower of this name has stopped. From now on the log is kept for it.
    pub async fn open(store: &Store, name: &'static str, begin: Begin) -> Result<Self> {
        let open = store.transact(|txn| async move {
            if let Some(cursor) = txn.get(CURSORS.at(name)).await? {
                return Ok(cursor);
            }
            let cursor = match begin {
                Begin::Oldest => Position::MIN,
                Begin::Newest => Position::last_of(txn.stamp()),
            };
            txn.put(CURSORS.at(name), &cursor);
            Ok::<_, StoreError>(cursor)
        });
        let (cursor, _) = open.await?;
        Ok(Self {
            store: store.clone(),
            name,
            cursor,
            published: store.published(),
        })
    }

    pub fn cursor(&self) -> Position {
        self.cursor
    }

    /// Waits for entries, and returns at least `limit` if there are as many: commits are returned
    /// whole, so the last one may add more.
    pub async fn next(&mut self, limit: usize) -> Result<Vec<(Position, Concern)>> {
        loop {
            self.published.borrow_and_update();
            let entries = self.read(limit).await?;
            if !entries.is_empty() {
                return Ok(entries);
            }
            let closed = |_| StoreError::Unavailable("the database is closed".to_owned());
            self.published.changed().await.map_err(closed)?;
        }
    }

    async fn read(&self, limit: usize) -> Result<Vec<(Position, Concern)>> {
        let db = self.store.snapshot().await?;
        let mut entries = db.page(SERVER_LOG.all().after(self.cursor), limit).await?;
        if entries.len() == limit
            && let Some((last, _)) = entries.last()
        {
            let rest = SERVER_LOG
                .all()
                .after(*last)
                .through(Position::last_of(last.0));
            entries.extend(db.page(rest, usize::MAX).await?);
        }
        Ok(entries)
    }

    /// Part of the commit of this follower's effects; [`Follower::reached`] follows its success.
    pub fn advance(&self, txn: &Txn, to: Position) {
        txn.put(CURSORS.at(self.name), &to);
    }

    pub fn reached(&mut self, to: Position) {
        self.cursor = to;
    }

    /// Advances without effects. Does not wait for the disk: after a crash these entries may come
    /// again.
    pub async fn skip_to(&mut self, to: Position) -> Result<()> {
        let this = &*self;
        let skip = this.store.transact(|txn| async move {
            this.advance(&txn, to);
            txn.may_wait();
            Ok::<_, StoreError>(())
        });
        skip.await?;
        self.reached(to);
        Ok(())
    }
}
