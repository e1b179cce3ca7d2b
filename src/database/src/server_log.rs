//! The one log of the whole server, which the followers read: every commit that a client can see
//! tells here whom it concerns.

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

/// Whom each commit concerns. Written by everyone through [`tell`], read by the followers,
/// trimmed below the slowest of them.
pub static SERVER_LOG: Table<Position, Concern> = Table::new("server_log");

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Concern {
    /// Something happened in a room: its members see it.
    Room(RoomNumber),
    /// Something of the user's own changed: only the user sees it.
    User(UserNumber),
    /// The user's devices or keys changed: everyone who shares a room with the user is told.
    DeviceList(UserNumber),
}

impl Record for Concern {}

/// Enters `concern` into the server's log, at the position of `slot`. Once for each commit: what
/// is told again is left out, and a second concern of one slot takes a slot of its own. A reader
/// finds what happened in the concerned one's own logs, at the stamp of the entry.
pub fn tell(txn: &Txn, slot: Slot, concern: Concern) {
    if let Some(slot) = txn.tell_at(slot, concern) {
        txn.append(SERVER_LOG.end(()), slot, &concern);
    }
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
