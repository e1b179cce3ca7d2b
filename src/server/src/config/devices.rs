//! The section `[devices]`: limits of what a device and a key backup may store.

use devices::Limits;
use serde::Deserialize;

use super::units::Bytes;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Devices {
    pub(crate) per_user: usize,
    one_time_keys: u64,
    key_size: Bytes,
    inbox_messages: u64,
    inbox_size: Bytes,
    message_size: Bytes,
    recipients: usize,
    request_size: Bytes,
    backups: u64,
    backup_sessions: u64,
    session_size: Bytes,
}

impl Default for Devices {
    fn default() -> Self {
        let defaults = Limits::default();
        let bytes = |bytes: usize| Bytes(bytes as u64);
        Self {
            per_user: 1_000,
            one_time_keys: defaults.one_time_keys,
            key_size: bytes(defaults.key_bytes),
            inbox_messages: defaults.inbox_messages,
            inbox_size: Bytes(defaults.inbox_bytes),
            message_size: bytes(defaults.message_bytes),
            recipients: defaults.recipients,
            request_size: bytes(defaults.request_bytes),
            backups: defaults.backups,
            backup_sessions: defaults.backup_sessions,
            session_size: bytes(defaults.session_bytes),
        }
    }
}

impl Devices {
    /// The limits, with the bytes that the cache of devices may use.
    pub(crate) fn limits(&self, cache_bytes: u64) -> Limits {
        Limits {
            one_time_keys: self.one_time_keys,
            key_bytes: self.key_size.in_memory(),
            inbox_messages: self.inbox_messages,
            inbox_bytes: self.inbox_size.0,
            message_bytes: self.message_size.in_memory(),
            recipients: self.recipients,
            request_bytes: self.request_size.in_memory(),
            backups: self.backups,
            backup_sessions: self.backup_sessions,
            session_bytes: self.session_size.in_memory(),
            cache_bytes,
        }
    }

    /// Limits of 0 that would make encryption impossible.
    pub(super) fn mistakes(&self) -> Option<String> {
        let least = [
            self.per_user as u64,
            self.one_time_keys,
            self.key_size.0,
            self.inbox_messages,
            self.inbox_size.0,
            self.message_size.0,
            self.recipients as u64,
            self.request_size.0,
            self.session_size.0,
        ];
        let text = "of `[devices]`, only `backups` and `backup_sessions` may be 0";
        least.contains(&0).then(|| text.to_owned())
    }
}
