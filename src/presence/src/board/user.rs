//! One user: the devices, and what they make of the user's state.

use database::{Millis, RoomNumber};

use crate::{
    state::{PresenceState, SetPresence},
    tables::PresenceRow,
};

/// For so long after an action a user is `currently_active`, in milliseconds.
const ACTIVE_FOR: u64 = 60_000;
pub(super) const NEVER: u64 = u64::MAX;

/// All times are milliseconds on the board's time axis.
#[derive(Debug)]
pub(super) struct Device {
    /// Empty for the last known state of a user whose devices are not known: after a restart, or on
    /// another server.
    pub(super) id: Box<str>,
    /// Distinguishes two devices that have the same id, one after the other.
    pub(super) generation: u32,
    /// Syncs that run or wait.
    pub(super) connections: u32,
    pub(super) wanted: PresenceState,
    /// `wanted` comes from `PUT /presence`.
    pub(super) by_put: bool,
    /// Without a connection, the device counts until then.
    pub(super) until: u64,
    /// The last action; [`NEVER`] where the device does not go idle by itself.
    pub(super) active_at: u64,
}

/// What others see of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct View {
    pub(super) state: PresenceState,
    pub(super) active: bool,
}

#[derive(Debug, Default)]
pub(super) struct User {
    pub(super) devices: Vec<Device>,
    /// The joined rooms, in order.
    pub(super) rooms: Vec<RoomNumber>,
    pub(super) status_msg: Option<Box<str>>,
    /// Zero where unknown.
    pub(super) last_active: u64,
    /// What the user's own server reports about `currently_active`.
    pub(super) remote_active: Option<bool>,
    pub(super) state: PresenceState,
    /// Whether the rooms list the user: online, or watching with an invisible sync.
    pub(super) listed: bool,
    pub(super) published: View,
    pub(super) published_at: u64,
    /// There is more to publish than another view: a status message, a room that was joined.
    pub(super) forced: bool,
    /// Place in the log of changes; 0 if there is none.
    pub(super) changed_at: u64,
    pub(super) deadline: u64,
    /// The state that is on disk.
    pub(super) stored: PresenceState,
}

impl User {
    pub(super) fn device(&mut self, id: &str) -> Option<&mut Device> {
        self.devices.iter_mut().find(|device| &*device.id == id)
    }

    /// Drops the devices that have been silent for too long.
    pub(super) fn expire(&mut self, now: u64) {
        self.devices
            .retain(|device| device.connections > 0 || device.until > now);
    }

    /// The most present device wins.
    pub(super) fn state_at(&self, now: u64, idle_after: u64) -> PresenceState {
        let states = self
            .devices
            .iter()
            .map(|device| device.state_at(now, idle_after));
        states.max().unwrap_or_default()
    }

    pub(super) fn view(&self, now: u64) -> View {
        let is_recent = self.last_active != 0 && now.saturating_sub(self.last_active) < ACTIVE_FOR;
        let active = self.remote_active.unwrap_or(is_recent);
        View {
            state: self.state,
            active: active && self.state >= PresenceState::Online,
        }
    }

    /// When something changes by itself, at the earliest.
    pub(super) fn next_change(&self, now: u64, idle_after: u64) -> u64 {
        let mut next = NEVER;
        for device in &self.devices {
            if device.connections == 0 {
                next = next.min(device.until);
            }
            if device.state_at(now, idle_after) == PresenceState::Online {
                next = next.min(device.active_at.saturating_add(idle_after));
            }
        }
        if self.remote_active.is_none() && self.view(now).active {
            next = next.min(self.last_active + ACTIVE_FOR);
        }
        next
    }

    /// Whether the view is published, and the disk holds the state.
    pub(super) fn is_published(&self, now: u64) -> bool {
        !self.forced && self.published == self.view(now) && self.stored == self.state
    }

    pub(super) fn row(&self) -> PresenceRow {
        PresenceRow {
            state: self.state,
            status_msg: self.status_msg.as_deref().map(str::to_owned),
            last_active: Millis(self.last_active),
        }
    }

    /// Whether the user has a sync that can be woken.
    pub(super) fn is_connected(&self) -> bool {
        self.devices.iter().any(|device| device.connections > 0)
    }
}

impl Device {
    fn state_at(&self, now: u64, idle_after: u64) -> PresenceState {
        let is_idle = self.active_at != NEVER && now.saturating_sub(self.active_at) >= idle_after;
        match self.wanted {
            PresenceState::Online if is_idle => PresenceState::Unavailable,
            wanted => wanted,
        }
    }

    /// Applies `set_presence`. Returns whether it is an action of the user: the client came back
    /// from idle or offline.
    pub(super) fn sync(&mut self, set: SetPresence, is_new: bool) -> bool {
        if self.wanted == PresenceState::Busy {
            return false;
        }
        let wanted = match set {
            SetPresence::Online => PresenceState::Online,
            SetPresence::Unavailable => PresenceState::Unavailable,
            SetPresence::Offline if self.by_put => return false,
            SetPresence::Offline => PresenceState::Offline,
        };
        let comes_back = wanted == PresenceState::Online && (is_new || self.wanted != wanted);
        self.wanted = wanted;
        self.by_put = false;
        comes_back
    }
}
