//! Who of this server has joined the rooms that are active: read from `MEMBERS` once, then kept by what each commit told.
//!
//! A change of membership costs one row and one step of a tree, whatever the size of the room.

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
    sync::{Mutex, MutexGuard},
};

use database::{Read, RoomNumber, Snapshot, Store, StoreError, UserNumber};
use rooms_store::{Membership, tables::MEMBERS};

/// Owner: the notifier. Bound: a count of memberships; the rooms that were used longest ago go first.
pub(crate) struct Members {
    state: Mutex<State>,
    bound: usize,
}

#[derive(Default)]
struct State {
    rooms: HashMap<RoomNumber, Room>,
    /// Memberships held in all.
    count: usize,
    /// Counts uses, so that the room that was used longest ago is known.
    clock: u64,
}

enum Room {
    /// Somebody reads it; whose membership changed meanwhile is read again.
    Loading(BTreeSet<UserNumber>),
    Loaded {
        joined: BTreeSet<UserNumber>,
        used: u64,
    },
}

/// Rows read at once.
const PAGE: usize = 1024;

impl Members {
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            state: Mutex::default(),
            bound,
        }
    }

    /// Which of these (room, user) pairs are to be read again: those of rooms that are held, or being read.
    pub(crate) fn concerned(&self, pairs: &mut Vec<(RoomNumber, UserNumber)>) {
        let mut state = self.lock();
        pairs.retain(|(room, user)| match state.rooms.get_mut(room) {
            None => false,
            Some(Room::Loaded { .. }) => true,
            Some(Room::Loading(touched)) => {
                touched.insert(*user);
                false
            }
        });
    }

    /// What the rows of these pairs say now.
    pub(crate) async fn refresh(
        &self,
        db: &Snapshot,
        pairs: &[(RoomNumber, UserNumber)],
    ) -> Result<(), StoreError> {
        if pairs.is_empty() {
            return Ok(());
        }
        let rows = pairs
            .iter()
            .map(|(room, user)| MEMBERS.at((*room, *user)))
            .collect();
        let rows = db.get_many(rows).await?;
        let mut state = self.lock();
        for ((room, user), row) in pairs.iter().zip(rows) {
            let is_joined = row.is_some_and(|row| row.value.membership == Membership::Join);
            state.set(*room, *user, is_joined);
        }
        Ok(())
    }

    /// How many members a room has, if it is held.
    pub(crate) fn count(&self, room: RoomNumber) -> Option<usize> {
        let mut state = self.lock();
        state.joined(room).map(BTreeSet::len)
    }

    pub(crate) fn is_joined(&self, room: RoomNumber, user: UserNumber) -> bool {
        self.lock()
            .joined(room)
            .is_some_and(|joined| joined.contains(&user))
    }

    /// The next members after one of them, in the order of their numbers.
    pub(crate) fn chunk(
        &self,
        room: RoomNumber,
        after: Option<UserNumber>,
        limit: usize,
    ) -> Vec<UserNumber> {
        let mut state = self.lock();
        let Some(joined) = state.joined(room) else {
            return Vec::new();
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        joined
            .range((from, Bound::Unbounded))
            .take(limit)
            .copied()
            .collect()
    }

    /// Reads a room's members. One task does this; what the follower learns meanwhile is not lost.
    pub(crate) async fn load(&self, room: RoomNumber, store: &Store) -> Result<(), StoreError> {
        self.lock()
            .rooms
            .insert(room, Room::Loading(BTreeSet::new()));
        let read = self.read(room, store).await;
        if read.is_err() {
            self.lock().rooms.remove(&room);
        }
        read
    }

    async fn read(&self, room: RoomNumber, store: &Store) -> Result<(), StoreError> {
        let mut joined = joined_members(&store.snapshot().await?, room).await?;
        while let Some((touched, so_far)) = self.keep_unless_touched(room, joined) {
            joined = so_far;
            let db = store.snapshot().await?;
            for user in touched {
                let row = db.get(MEMBERS.at((room, user))).await?;
                if row.is_some_and(|row| row.value.membership == Membership::Join) {
                    joined.insert(user);
                } else {
                    joined.remove(&user);
                }
            }
        }
        Ok(())
    }

    /// Keeps what was read if nobody's membership changed meanwhile: from here on `refresh` does. Else gives it back, with
    /// those who are to be read again.
    fn keep_unless_touched(
        &self,
        room: RoomNumber,
        joined: BTreeSet<UserNumber>,
    ) -> Option<(BTreeSet<UserNumber>, BTreeSet<UserNumber>)> {
        let mut state = self.lock();
        if let Some(Room::Loading(touched)) = state.rooms.get_mut(&room)
            && !touched.is_empty()
        {
            return Some((std::mem::take(touched), joined));
        }
        state.count += joined.len();
        let used = state.clock;
        state.rooms.insert(room, Room::Loaded { joined, used });
        state.shrink(self.bound, room);
        None
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("nothing panics while it holds this lock")
    }
}

impl State {
    fn joined(&mut self, room: RoomNumber) -> Option<&BTreeSet<UserNumber>> {
        self.clock += 1;
        match self.rooms.get_mut(&room) {
            Some(Room::Loaded { joined, used }) => {
                *used = self.clock;
                Some(joined)
            }
            Some(Room::Loading(_)) | None => None,
        }
    }

    fn set(&mut self, room: RoomNumber, user: UserNumber, is_joined: bool) {
        let Some(Room::Loaded { joined, .. }) = self.rooms.get_mut(&room) else {
            return;
        };
        if is_joined && joined.insert(user) {
            self.count += 1;
        } else if !is_joined && joined.remove(&user) {
            self.count -= 1;
        }
    }

    /// Drops rooms until a quarter of the bound is free again. One room alone may be above it.
    fn shrink(&mut self, bound: usize, keep: RoomNumber) {
        if self.count <= bound {
            return;
        }
        let mut by_use: Vec<(u64, RoomNumber)> = self
            .rooms
            .iter()
            .filter_map(|(number, room)| match room {
                Room::Loaded { used, .. } if *number != keep => Some((*used, *number)),
                Room::Loaded { .. } | Room::Loading(_) => None,
            })
            .collect();
        by_use.sort_unstable();
        for (_, room) in by_use {
            if self.count <= bound / 4 * 3 {
                return;
            }
            if let Some(Room::Loaded { joined, .. }) = self.rooms.remove(&room) {
                self.count -= joined.len();
            }
        }
    }
}

async fn joined_members(
    db: &Snapshot,
    room: RoomNumber,
) -> Result<BTreeSet<UserNumber>, StoreError> {
    let mut joined = BTreeSet::new();
    let mut last = None;
    loop {
        let rows = MEMBERS.under(room);
        let rows = match last {
            Some(last) => rows.after((room, last)),
            None => rows,
        };
        let page = db.page(rows, PAGE).await?;
        let is_last = page.len() < PAGE;
        for ((_, user), row) in page {
            last = Some(user);
            if row.value.membership == Membership::Join {
                joined.insert(user);
            }
        }
        if is_last {
            return Ok(joined);
        }
    }
}
