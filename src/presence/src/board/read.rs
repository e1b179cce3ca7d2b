//! What is read of the board: the state of a user, what a watcher sees, the counts of rooms.

use std::{cmp::Ordering, collections::HashSet};

use database::{RoomNumber, UserNumber};

use super::{Board, tick::LARGE};
use crate::{online::ServerOnline, state::PresenceState, tables::PresenceRow};

/// What a watcher learns of one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    pub user: UserNumber,
    pub state: PresenceState,
    pub status_msg: Option<String>,
    /// Milliseconds since the last action; `None` where that is unknown.
    pub last_active_ago: Option<u64>,
    /// `None` unless the user is online.
    pub currently_active: Option<bool>,
}

/// What changed for a watcher.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Updates {
    pub updates: Vec<Update>,
    /// The change up to which this is all there is.
    pub next: u64,
}

impl Board {
    pub(crate) fn counter(&self) -> u64 {
        self.counter
    }

    /// What is to be stored of a user; `None` for one who is not held.
    pub(crate) fn row(&self, number: UserNumber) -> Option<PresenceRow> {
        self.users.get(&number).map(|user| user.row())
    }

    /// `None` for a user who is not held.
    pub(crate) fn update(&self, number: UserNumber, now: u64) -> Option<Update> {
        let user = self.users.get(&number)?;
        let ago = now.saturating_sub(user.last_active);
        Some(Update {
            user: number,
            state: user.state,
            status_msg: user.status_msg.as_deref().map(str::to_owned),
            last_active_ago: (user.last_active != 0).then_some(ago),
            currently_active: user.state.is_online().then(|| user.view(now).active),
        })
    }

    /// What a watcher, who is held, may know of the changes after `since`; without it, of everybody
    /// who is online. Those in `new_rooms`, which the watcher has just joined, are included whether
    /// or not they changed.
    pub(crate) fn updates(
        &self,
        watcher: UserNumber,
        since: Option<u64>,
        new_rooms: &[RoomNumber],
        limit: usize,
        now: u64,
    ) -> Updates {
        let mut next = self.counter;
        let mut publication = Vec::new();
        let rooms = self.rooms_of(watcher);
        if let Some(since) = since.filter(|since| *since >= self.floor && *since <= self.counter) {
            for (at, number) in self.log.range(since + 1..) {
                if *number != watcher && !self.share(rooms, self.rooms_of(*number)) {
                    continue;
                }
                if publication.len() == limit {
                    break;
                }
                publication.push(*number);
                next = *at;
            }
            if publication.len() < limit {
                next = self.counter;
            }
            self.add_online(new_rooms, &mut publication, limit);
        } else {
            publication.push(watcher);
            self.add_online(rooms, &mut publication, limit);
        }
        let updates = publication
            .into_iter()
            .filter_map(|number| self.update(number, now));
        Updates {
            updates: updates.collect(),
            next,
        }
    }

    /// Whether a user is in a room through which presence spreads, with somebody who is in these.
    fn share(&self, rooms: &[RoomNumber], others: &[RoomNumber]) -> bool {
        let (mut at, mut other) = (0, 0);
        while let (Some(room), Some(another)) = (rooms.get(at), others.get(other)) {
            match room.cmp(another) {
                Ordering::Less => at += 1,
                Ordering::Greater => other += 1,
                Ordering::Equal if self.is_small(*room) => return true,
                Ordering::Equal => {
                    at += 1;
                    other += 1;
                }
            }
        }
        false
    }

    fn add_online(&self, rooms: &[RoomNumber], publication: &mut Vec<UserNumber>, limit: usize) {
        let mut known: HashSet<UserNumber> = publication.iter().copied().collect();
        for room in rooms.iter().filter(|room| self.is_small(**room)) {
            for user in self.online_in(*room) {
                if publication.len() == limit {
                    return;
                }
                if known.insert(user) {
                    publication.push(user);
                }
            }
        }
    }

    fn rooms_of(&self, number: UserNumber) -> &[RoomNumber] {
        self.users
            .get(&number)
            .map(|user| user.rooms.as_slice())
            .unwrap_or_default()
    }

    fn is_small(&self, room: RoomNumber) -> bool {
        self.rooms
            .get(room)
            .is_some_and(|room| room.online <= LARGE)
    }

    /// How many members of a room are online.
    pub(crate) fn online(&self, room: RoomNumber) -> u32 {
        self.rooms.get(room).map_or(0, |room| room.online)
    }

    /// The last change of the room's counts that was published; `None` of a room in which nobody is
    /// online or watches.
    pub(crate) fn online_changed_at(&self, room: RoomNumber) -> Option<u64> {
        self.rooms.get(room).map(|room| room.changed_at)
    }

    /// The members of a room who are online.
    pub(crate) fn online_in(&self, room: RoomNumber) -> impl Iterator<Item = UserNumber> {
        let present = self.rooms.get(room).map(|room| &room.present);
        let is_online = |number: &&UserNumber| {
            self.users
                .get(*number)
                .is_some_and(|user| user.state.is_online())
        };
        present.into_iter().flatten().filter(is_online).copied()
    }

    pub(crate) fn server(&self) -> ServerOnline {
        let rooms = self.rooms.iter().filter(|(_, room)| room.online > 0);
        ServerOnline {
            users: self.online,
            devices: self.connected_devices,
            connections: self.connections,
            rooms: rooms.map(|(number, room)| (number, room.online)).collect(),
        }
    }

    /// Users who have a sync that can be woken, of some.
    pub(crate) fn retain_connected(&self, users: &mut HashSet<UserNumber>) {
        users.retain(|number| {
            self.users
                .get(number)
                .is_some_and(|user| user.is_connected())
        });
    }
}
