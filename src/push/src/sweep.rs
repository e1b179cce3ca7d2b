//! Forgetting earlier push rules of a user, once everything that was counted with them is read.

use std::sync::Arc;

use database::{Position, Read, RoomNumber, Snapshot, UserNumber};
use rooms_store::{
    RoomError,
    tables::{Membership, USER_ROOMS},
};

use crate::{checkpoint::State, push::Parts, tables::UNREAD_CHECKPOINTS};

/// Rooms read at once.
const PAGE: usize = 256;

/// Looks, behind whoever asked, which earlier rules of the user nobody needs any more.
pub(crate) fn forget_rules(parts: &Arc<Parts>, user: UserNumber) {
    let parts = parts.clone();
    parts.clone().tasks.spawn(async move {
        if let Err(error) = forget(&parts, user).await {
            tracing::warn!(%error, "forgetting earlier push rules failed; it is tried again");
        }
    });
}

async fn forget(parts: &Parts, user: UserNumber) -> Result<(), RoomError> {
    let db = parts.rooms.snapshot().await?;
    let mut oldest = Position::last_of(db.stamp());
    let mut rows = USER_ROOMS.under(user);
    loop {
        let page = db.page(rows, PAGE).await?;
        for ((_, room), row) in &page {
            if row.value.membership == Membership::Join {
                let needed = needed_after(parts, &db, user, *room, row.position).await?;
                oldest = oldest.min(needed);
            }
        }
        match page.last() {
            Some(((_, last), _)) if page.len() == PAGE => {
                rows = USER_ROOMS.under(user).after((user, *last));
            }
            _ => break,
        }
    }
    drop(db);
    let users = parts.rooms.users();
    Ok(users.forget_push_rules(user, oldest).await?)
}

/// Only events after this position may still be counted, whatever is lost from memory.
async fn needed_after(
    parts: &Parts,
    db: &Snapshot,
    user: UserNumber,
    room: RoomNumber,
    joined_at: Position,
) -> Result<Position, RoomError> {
    let row = db.get(UNREAD_CHECKPOINTS.at((user, room))).await?;
    let Some(row) = row.filter(|row| row.joined_at == joined_at) else {
        let mut state = State::at_join(joined_at);
        for (thread, position) in parts.receipts_on_disk(db, room, user).await? {
            state.read_to(&thread, position);
        }
        return Ok(state.row.read);
    };
    let state = State { row, counted: 0 };
    let counted = Position::last_of(state.row.as_of);
    let unread = state.unread_threads();
    let read = unread.iter().map(|thread| state.read_of(thread));
    Ok(read.fold(counted, Position::min))
}
