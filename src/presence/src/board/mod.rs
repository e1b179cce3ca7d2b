//! Everybody who is online, in memory: a state machine that learns what happened and what time it
//! is.
//!
//! A change of a user's state changes the counts of the user's rooms at once. Others learn of it
//! later (`tick`): of one user at most every two seconds, and all of them at most twice a second. A
//! change that is undone before it is published is never published.
//!
//! Owner: [`Presence`](crate::Presence). Bound: the users who are online or watch, and [`KEPT`] who
//! are not any more.

mod read;
mod refresh;
mod rooms;
mod tick;
mod user;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use database::{RoomNumber, UserNumber};

pub use self::read::{Update, Updates};
pub(crate) use self::tick::Publication;
use self::{
    rooms::Rooms,
    user::{Device, NEVER, User},
};
use crate::{
    state::{PresenceState, SetPresence},
    tables::PresenceRow,
};

/// Offline users whose last change is held for clients that were away.
const KEPT: usize = 1 << 16;
/// One user's changes are published this far apart, in milliseconds.
const USER_EVERY: u64 = 2000;
/// A user of another server is offline when nothing was heard for so long, in milliseconds.
pub(crate) const REMOTE_FOR: u64 = 30 * 60_000;
/// Devices of one user that are held; the one whose time ends first makes room for another.
const DEVICES: usize = 100;

/// Milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) idle_after: u64,
    pub(crate) offline_after: u64,
}

#[derive(Debug)]
pub(crate) struct Board {
    limits: Limits,
    users: HashMap<UserNumber, Box<User>>,
    rooms: Rooms,
    /// When the state of a user changes, or may be published.
    deadlines: BTreeSet<(u64, UserNumber)>,
    /// The last change of each user that was published, by its number.
    log: BTreeMap<u64, UserNumber>,
    /// Numbers all changes that are published, of users and rooms.
    counter: u64,
    /// Changes up to here may be missing in the log.
    floor: u64,
    /// Nothing is published before.
    next_publication: u64,
    generation: u32,
    listed: usize,
    online: usize,
    connections: usize,
    connected_devices: usize,
    /// When the next tick comes, if nothing changes.
    pub(crate) sleeps_until: u64,
}

/// What the database says about a user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    /// In order.
    pub(crate) rooms: Vec<RoomNumber>,
    pub(crate) row: PresenceRow,
}

/// What another server says about its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteState {
    pub state: PresenceState,
    pub status_msg: Option<String>,
    /// Milliseconds since the last action.
    pub last_active_ago: u64,
    pub currently_active: bool,
}

impl Board {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            users: HashMap::new(),
            rooms: Rooms::default(),
            deadlines: BTreeSet::new(),
            log: BTreeMap::new(),
            counter: 0,
            floor: 0,
            next_publication: 0,
            generation: 0,
            listed: 0,
            online: 0,
            connections: 0,
            connected_devices: 0,
            sleeps_until: NEVER,
        }
    }

    pub(crate) fn knows(&self, user: UserNumber) -> bool {
        self.users.contains_key(&user)
    }

    /// Takes a user in, unless they are held already.
    pub(crate) fn insert(&mut self, number: UserNumber, loaded: Loaded) {
        self.users.entry(number).or_insert_with(|| {
            Box::new(User {
                rooms: loaded.rooms,
                status_msg: loaded.row.status_msg.map(String::into_boxed_str),
                last_active: loaded.row.last_active.0,
                stored: loaded.row.state,
                deadline: NEVER,
                ..User::default()
            })
        });
    }

    /// Takes in a user whose last state, before a restart, was not offline.
    pub(crate) fn restore(&mut self, number: UserNumber, loaded: Loaded, is_local: bool, now: u64) {
        if self.knows(number) {
            return;
        }
        let state = loaded.row.state;
        self.insert(number, loaded);
        let keep = if is_local {
            self.limits.offline_after
        } else {
            REMOTE_FOR
        };
        let generation = self.next_generation();
        let Some(user) = self.users.get_mut(&number) else {
            return;
        };
        user.devices.push(Device {
            id: Box::default(),
            generation,
            connections: 0,
            wanted: state,
            by_put: false,
            until: now + keep,
            active_at: if is_local { now } else { NEVER },
        });
        if !is_local {
            user.remote_active = Some(false);
        }
        user.state = state;
        user.published = user.view(now);
        user.state = PresenceState::Offline;
        self.refresh(number, now);
    }

    /// A sync of a device begins. Returns what [`Board::disconnect`] needs, and whether the device
    /// was not known.
    pub(crate) fn connect(
        &mut self,
        number: UserNumber,
        device: &str,
        set: SetPresence,
        now: u64,
    ) -> (u32, bool) {
        let (at, is_new) = self.device(number, device, now);
        let Some(user) = self.users.get_mut(&number) else {
            return (0, is_new);
        };
        let device = &mut user.devices[at];
        device.connections += 1;
        self.connections += 1;
        if device.connections == 1 {
            self.connected_devices += 1;
        }
        let generation = device.generation;
        if device.sync(set, is_new) {
            device.active_at = now;
            user.last_active = now;
        }
        self.refresh(number, now);
        (generation, is_new)
    }

    pub(crate) fn disconnect(
        &mut self,
        number: UserNumber,
        device: &str,
        generation: u32,
        now: u64,
    ) {
        let until = now + self.limits.offline_after;
        let device = self
            .users
            .get_mut(&number)
            .and_then(|user| user.device(device));
        let Some(device) = device.filter(|device| device.generation == generation) else {
            return;
        };
        device.connections -= 1;
        device.until = until;
        self.connections -= 1;
        if device.connections == 0 {
            self.connected_devices -= 1;
        }
        self.refresh(number, now);
    }

    /// `PUT /presence`. Returns what is to be stored, and whether the device was not known.
    pub(crate) fn put(
        &mut self,
        number: UserNumber,
        device: &str,
        state: PresenceState,
        status_msg: Option<&str>,
        now: u64,
    ) -> (PresenceRow, bool) {
        let (at, is_new) = self.device(number, device, now);
        let until = now + self.limits.offline_after;
        let Some(user) = self.users.get_mut(&number) else {
            return (PresenceRow::default(), is_new);
        };
        let device = &mut user.devices[at];
        device.wanted = state;
        device.by_put = true;
        device.until = until;
        if state >= PresenceState::Online {
            device.active_at = now;
            user.last_active = now;
        }
        if user.status_msg.as_deref() != status_msg {
            user.status_msg = status_msg.map(Into::into);
            user.forced = true;
        }
        self.refresh(number, now);
        let Some(user) = self.users.get_mut(&number) else {
            return (PresenceRow::default(), is_new);
        };
        user.stored = user.state;
        (user.row(), is_new)
    }

    /// The user did something with a device that syncs.
    pub(crate) fn active(&mut self, number: UserNumber, device: &str, now: u64) {
        let Some(user) = self.users.get_mut(&number) else {
            return;
        };
        let Some(device) = user.device(device) else {
            return;
        };
        if device.wanted < PresenceState::Online {
            return;
        }
        device.active_at = now;
        user.last_active = now;
        self.refresh(number, now);
    }

    /// Devices ended: those of which `is_ended` says so, and what was restored.
    pub(crate) fn end_devices(
        &mut self,
        number: UserNumber,
        is_ended: impl Fn(&str) -> bool,
        now: u64,
    ) {
        let Some(user) = self.users.get_mut(&number) else {
            return;
        };
        let (mut connections, mut connected) = (0, 0);
        user.devices.retain(|device| {
            let ends = device.id.is_empty() || is_ended(&device.id);
            if ends && device.connections > 0 {
                connections += device.connections as usize;
                connected += 1;
            }
            !ends
        });
        self.connections -= connections;
        self.connected_devices -= connected;
        self.refresh(number, now);
    }

    /// What another server says about its user, who is held.
    pub(crate) fn set_remote(&mut self, number: UserNumber, remote: RemoteState, now: u64) {
        let (at, _) = self.device(number, "", now);
        let Some(user) = self.users.get_mut(&number) else {
            return;
        };
        let device = &mut user.devices[at];
        device.wanted = remote.state;
        device.active_at = NEVER;
        device.until = match remote.state {
            PresenceState::Offline => now,
            _ => now + REMOTE_FOR,
        };
        user.last_active = now.saturating_sub(remote.last_active_ago);
        user.remote_active = Some(remote.currently_active);
        let status_msg = remote.status_msg.map(String::into_boxed_str);
        if user.status_msg != status_msg {
            user.status_msg = status_msg;
            user.forced = true;
        }
        self.refresh(number, now);
    }

    /// What a member row says about a user who is held.
    pub(crate) fn set_membership(
        &mut self,
        number: UserNumber,
        room: RoomNumber,
        is_joined: bool,
        now: u64,
    ) {
        let Self {
            users,
            rooms,
            counter,
            ..
        } = self;
        let Some(user) = users.get_mut(&number) else {
            return;
        };
        let is_online = user.state.is_online();
        match (user.rooms.binary_search(&room), is_joined) {
            (Err(at), true) => {
                user.rooms.insert(at, room);
                if user.listed {
                    rooms.enter(room, number, is_online, counter, now);
                    // The others in the room are published who is there now.
                    user.forced |= is_online;
                }
            }
            (Ok(at), false) => {
                user.rooms.remove(at);
                if user.listed {
                    rooms.leave(room, number, is_online, now);
                }
            }
            (Ok(_), true) | (Err(_), false) => return,
        }
        self.refresh(number, now);
    }

    /// The number of members of a room may have changed.
    pub(crate) fn touch_room(&mut self, room: RoomNumber, now: u64) {
        self.rooms.touch(room, now);
    }

    /// The place of a device among those of its user, who is held; it is made if need be.
    fn device(&mut self, number: UserNumber, id: &str, now: u64) -> (usize, bool) {
        let generation = self.next_generation();
        let until = now + self.limits.offline_after;
        let Some(user) = self.users.get_mut(&number) else {
            return (0, false);
        };
        if let Some(at) = user.devices.iter().position(|device| &*device.id == id) {
            return (at, false);
        }
        if user.devices.len() >= DEVICES {
            let idle = user.devices.iter().enumerate();
            let idle = idle.filter(|(_, device)| device.connections == 0);
            if let Some((at, _)) = idle.min_by_key(|(_, device)| device.until) {
                user.devices.swap_remove(at);
            }
        }
        user.devices.push(Device {
            id: id.into(),
            generation,
            connections: 0,
            wanted: PresenceState::Offline,
            by_put: false,
            until,
            active_at: now,
        });
        (user.devices.len() - 1, true)
    }

    fn next_generation(&mut self) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.generation
    }
}

#[cfg(test)]
mod tests;
