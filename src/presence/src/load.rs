//! Reading users from the database.

use database::{Read, RoomNumber, Snapshot, StoreError, UserNumber};
use rooms_store::{
    Membership,
    tables::{USER_ROOMS, UserRoom},
};

use crate::{
    board::Loaded,
    tables::{PRESENCE, PresenceRow},
};

/// Rooms of a user read at once.
const PAGE: usize = 256;

/// What the database says about a user.
pub(crate) async fn load(db: &Snapshot, user: UserNumber) -> Result<Loaded, StoreError> {
    let row: Option<PresenceRow> = db.get(PRESENCE.at(user)).await?;
    Ok(Loaded {
        rooms: joined_rooms(db, user).await?,
        row: row.unwrap_or_default(),
    })
}

/// The joined rooms of a user, in order.
pub(crate) async fn joined_rooms(
    db: &Snapshot,
    user: UserNumber,
) -> Result<Vec<RoomNumber>, StoreError> {
    let mut joined = Vec::new();
    let mut rows = USER_ROOMS.under(user);
    loop {
        let page = db.page(rows, PAGE).await?;
        let is_join = |row: &UserRoom| row.membership == Membership::Join;
        let rooms = page.iter().filter(|(_, row)| is_join(&row.value));
        joined.extend(rooms.map(|((_, room), _)| *room));
        match page.last() {
            Some(((_, last), _)) if page.len() == PAGE => {
                rows = USER_ROOMS.under(user).after((user, *last));
            }
            _ => return Ok(joined),
        }
    }
}

pub(crate) async fn share_a_room(
    db: &Snapshot,
    one: UserNumber,
    two: UserNumber,
) -> Result<bool, StoreError> {
    let one = joined_rooms(db, one).await?;
    let two = joined_rooms(db, two).await?;
    Ok(two.iter().any(|room| one.binary_search(room).is_ok()))
}
