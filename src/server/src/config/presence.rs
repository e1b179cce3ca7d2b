//! The section `[presence]`: who is shown as online.

use presence::PresenceConfig;
use serde::Deserialize;

use super::units::Age;

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Presence {
    enabled: bool,
    idle_after: Age,
    offline_after: Age,
}

impl Default for Presence {
    fn default() -> Self {
        let defaults = PresenceConfig::default();
        Self {
            enabled: defaults.enabled,
            idle_after: Age(defaults.idle_after),
            offline_after: Age(defaults.offline_after),
        }
    }
}

impl Presence {
    pub(crate) fn settings(&self) -> PresenceConfig {
        PresenceConfig {
            enabled: self.enabled,
            idle_after: self.idle_after.0,
            offline_after: self.offline_after.0,
        }
    }

    /// Times of 0 would make everybody offline at once.
    pub(super) fn mistakes(&self) -> Option<String> {
        let is_zero = self.idle_after.0.is_zero() || self.offline_after.0.is_zero();
        let text = "`presence.idle_after` and `presence.offline_after` must not be 0";
        is_zero.then(|| text.to_owned())
    }
}
