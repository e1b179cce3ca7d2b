//! The one log of the whole server, which the followers read: every commit that a client can see
//! names here the rooms and users that it concerns.

use serde::{Deserialize, Serialize};

use crate::{
    error::Result,
    follow::CURSORS,
    numbers::{RoomNumber, UserNumber},
    read::Read,
    stamp::{Position, Slot},
    store::Store,
    table::Table,
    txn::Txn,
    value::Record,
};

/// The rooms and users that each commit concerns. Written by all parts through [`tell`], read by
/// the followers, trimmed below the cursor of the slowest follower.
pub static SERVER_LOG: Table<Position, Concern> = Table::new("server_log");

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Concern {
    /// Something happened in a room: its members see it.
    Room(RoomNumber),
    /// Something of the user's own changed: only the user sees it.
    User(UserNumber),
    /// The user's devices or keys changed: all users who share a room with this one see it.
    DeviceList(UserNumber),
}

impl Record for Concern {}

/// Appends `concern` to the server's log, at the position of `slot`. Each concern enters once per
/// commit; a second concern at the same slot takes a slot of its own. A reader finds what happened
/// in the logs of the room or user concerned, at the stamp of the entry.
pub fn tell(txn: &Txn, slot: Slot, concern: Concern) {
    txn.append_once(SERVER_LOG.end(()), slot, &concern);
}

/// Drops the entries before `below`, as far as every follower with a cursor is done with them.
pub async fn trim(store: &Store, below: Position) -> Result<()> {
    let db = store.snapshot().await?;
    let cursors = db.page(CURSORS.all(), usize::MAX).await?;
    let below = cursors
        .into_iter()
        .fold(below, |lowest, (_, cursor)| lowest.min(cursor));
    if db.first(SERVER_LOG.all().before(below)).await?.is_none() {
        return Ok(());
    }
    let trim = store.transact(|txn| async move {
        txn.clear(SERVER_LOG.all().before(below));
        txn.may_wait();
        Ok(())
    });
    trim.await.map(|((), _)| ())
}
