//! What a device is told about itself and about others' devices: `to_device`, `device_lists`, and how many keys it has left
//! (client-server API, "Send-to-Device messaging" and "End-to-End Encryption").

use std::sync::Arc;

use database::{Position, Snapshot};
use devices::{DeviceState, to_device};
use rooms_history::SyncToken;

use crate::{
    device_lists::{self, DeviceLists},
    json::Json,
    notifier::Changed,
    own_rooms::OwnRooms,
    request::{SyncError, SyncRequest},
    sync::Parts,
};

/// Messages told at once.
const MOST: usize = 100;

pub(super) struct DeviceNews {
    pub(super) state: Arc<DeviceState>,
    /// Whole events, oldest first.
    messages: Vec<(Position, String)>,
    /// More messages wait than could be told.
    has_more: bool,
    lists: DeviceLists,
}

/// Up to where the device has received its messages, as a token says.
pub(crate) fn received(token: SyncToken) -> Position {
    token.to_device.unwrap_or(Position::last_of(token.stamp))
}

impl DeviceNews {
    /// Reads nothing for a device of which nothing changed.
    pub(super) async fn read(
        parts: &Parts,
        request: &SyncRequest,
        db: &Snapshot,
        own: &OwnRooms,
        since: Option<SyncToken>,
    ) -> Result<Self, SyncError> {
        let (user, device) = (request.user, request.device.as_str());
        let is_unchanged = |stamp| parts.notifier.user_changed(user, stamp) == Changed::No;
        let state = parts.devices.state(db, user, device, is_unchanged).await?;
        let after = since.map(received);
        let mut messages = Vec::new();
        if state.oldest_message.is_some() {
            messages = to_device::since(db, user, device, after, MOST + 1).await?;
        }
        let has_more = messages.len() > MOST;
        messages.truncate(MOST);
        let lists = match since {
            Some(token) => device_lists::read(parts, db, user, own, token.stamp).await?,
            // A client that begins reads the keys it needs anyway.
            None => DeviceLists::default(),
        };
        Ok(Self {
            state,
            messages,
            has_more,
            lists,
        })
    }

    /// What the next token says of the messages: the last one told, if more wait.
    pub(super) fn told_until(&self) -> Option<Position> {
        let last = self.messages.last().filter(|_| self.has_more);
        last.map(|(position, _)| *position)
    }

    /// The sections that are worth an answer by themselves.
    pub(super) fn write(&self, json: &mut Json) {
        if !self.messages.is_empty() {
            json.key("to_device");
            json.open_object();
            json.key("events");
            json.open_array();
            for (_, event) in &self.messages {
                json.raw(event);
            }
            json.close_array();
            json.close_object();
        }
        if !self.lists.is_empty() {
            json.key("device_lists");
            json.open_object();
            for (name, users) in [("changed", &self.lists.changed), ("left", &self.lists.left)] {
                json.key(name);
                json.open_array();
                for user in users {
                    json.text(user.as_str());
                }
                json.close_array();
            }
            json.close_object();
        }
    }

    /// Whether the device would learn of other keys than it was told of last.
    pub(super) fn has_other_keys(&self, told: &DeviceState) -> bool {
        self.state.one_time_keys != told.one_time_keys
            || self.state.unused_fallback_keys != told.unused_fallback_keys
    }

    /// In every answer: a client takes its absence for having no keys.
    pub(super) fn write_keys(&self, json: &mut Json) {
        json.key("device_one_time_keys_count");
        json.open_object();
        for (algorithm, count) in &self.state.one_time_keys {
            json.key(algorithm);
            json.number(*count);
        }
        json.close_object();
        let unused = "device_unused_fallback_key_types";
        for name in [
            unused,
            "org.matrix.msc2732.device_unused_fallback_key_types",
        ] {
            json.key(name);
            json.open_array();
            for algorithm in &self.state.unused_fallback_keys {
                json.text(algorithm);
            }
            json.close_array();
        }
    }
}
