//! The rooms in which somebody is online: how many, and who.
//!
//! A room is held while anybody in it is online or watches. Its count is changed with each change
//! of a member's state or membership, so reading it is one look-up.

use std::collections::{BTreeSet, HashMap};

use database::{RoomNumber, UserNumber};

/// The count of a room is published at most once in so many milliseconds.
const EVERY: u64 = 1000;
/// Watchers of a room that may be woken in a millisecond, so that a large room is published less
/// often.
const WAKES_PER_MILLI: u64 = 20;

#[derive(Debug, Default)]
pub(super) struct Rooms {
    rooms: HashMap<RoomNumber, Room>,
    /// Rooms whose count is to be published, with the time at which it may be.
    pub(super) due: BTreeSet<(u64, RoomNumber)>,
}

#[derive(Debug, Default)]
pub(super) struct Room {
    /// Members who are online or watch.
    pub(super) present: BTreeSet<UserNumber>,
    pub(super) online: u32,
    /// The change of the count that was published last.
    pub(super) changed_at: u64,
    published_at: u64,
    due: Option<u64>,
}

impl Rooms {
    pub(super) fn get(&self, room: RoomNumber) -> Option<&Room> {
        self.rooms.get(&room)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (RoomNumber, &Room)> {
        self.rooms.iter().map(|(number, room)| (*number, room))
    }

    /// A member came. A room that nobody watched counts as changed, whatever happened in it
    /// meanwhile.
    pub(super) fn enter(
        &mut self,
        number: RoomNumber,
        user: UserNumber,
        is_online: bool,
        counter: &mut u64,
        now: u64,
    ) {
        let room = self.rooms.entry(number).or_default();
        if room.present.is_empty() {
            *counter += 1;
            room.changed_at = *counter;
            room.published_at = now;
        }
        if room.present.insert(user) && is_online {
            self.count(number, true, now);
        }
    }

    pub(super) fn leave(
        &mut self,
        number: RoomNumber,
        user: UserNumber,
        was_online: bool,
        now: u64,
    ) {
        let Some(room) = self.rooms.get_mut(&number) else {
            return;
        };
        if !room.present.remove(&user) {
            return;
        }
        if room.present.is_empty() {
            if let Some(due) = room.due {
                self.due.remove(&(due, number));
            }
            self.rooms.remove(&number);
        } else if was_online {
            self.count(number, false, now);
        }
    }

    /// A member who is listed came online, or went offline.
    pub(super) fn count(&mut self, number: RoomNumber, comes: bool, now: u64) {
        if let Some(room) = self.rooms.get_mut(&number) {
            if comes {
                room.online += 1;
            } else {
                room.online -= 1;
            }
        }
        self.touch(number, now);
    }

    /// What is published of the room has changed.
    pub(super) fn touch(&mut self, number: RoomNumber, now: u64) {
        let Some(room) = self.rooms.get_mut(&number) else {
            return;
        };
        if room.due.is_none() {
            let every = EVERY.max(room.present.len() as u64 / WAKES_PER_MILLI);
            let due = now.max(room.published_at + every);
            room.due = Some(due);
            self.due.insert((due, number));
        }
    }

    /// The next room whose count is to be published now; the change gets the next number.
    pub(super) fn next_due(&mut self, counter: &mut u64, now: u64) -> Option<&Room> {
        let (_, number) = self.due.pop_first_if(|(at, _)| *at <= now)?;
        let room = self.rooms.get_mut(&number)?;
        *counter += 1;
        room.changed_at = *counter;
        room.published_at = now;
        room.due = None;
        Some(room)
    }
}

/// `BTreeSet::pop_first`, for elements that meet a condition.
trait PopFirstIf<T> {
    fn pop_first_if(&mut self, is_wanted: impl Fn(&T) -> bool) -> Option<T>;
}

impl<T: Ord> PopFirstIf<T> for BTreeSet<T> {
    fn pop_first_if(&mut self, is_wanted: impl Fn(&T) -> bool) -> Option<T> {
        if is_wanted(self.first()?) {
            self.pop_first()
        } else {
            None
        }
    }
}
