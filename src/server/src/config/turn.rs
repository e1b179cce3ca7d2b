//! The section `[turn]`: TURN servers for calls, and the credentials for them.

use std::sync::Arc;

use client_api::{Turn, TurnKey};
use database::Clock;
use serde::Deserialize;

use super::{secret::Secret, units::Seconds};

#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TurnSettings {
    uris: Vec<String>,
    shared_secret: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    ttl: Seconds,
}

impl Default for TurnSettings {
    fn default() -> Self {
        Self {
            uris: Vec::new(),
            shared_secret: None,
            username: None,
            password: None,
            ttl: Seconds(86_400),
        }
    }
}

impl TurnSettings {
    /// `None` if no TURN server is configured.
    pub(crate) fn servers(&self, clock: &Arc<dyn Clock>) -> Option<Turn> {
        let key = self.key().filter(|_| !self.uris.is_empty())?;
        let (uris, lifetime) = (self.uris.clone(), self.ttl.into());
        Some(Turn::new(uris, key, lifetime, clock.clone()))
    }

    fn key(&self) -> Option<TurnKey> {
        if let Some(secret) = &self.shared_secret {
            return Some(TurnKey::Shared(secret.reveal().to_owned()));
        }
        let (username, password) = self.username.clone().zip(self.password.as_ref())?;
        let password = password.reveal().to_owned();
        Some(TurnKey::Fixed { username, password })
    }

    /// Settings that contradict each other.
    pub(super) fn mistakes(&self) -> Vec<String> {
        let has_account = self.username.is_some() || self.password.is_some();
        let has_key = has_account || self.shared_secret.is_some();
        let is_uri = |uri: &String| uri.starts_with("turn:") || uri.starts_with("turns:");
        let checks = [
            (
                self.uris.iter().all(is_uri),
                "`turn.uris` must begin with turn: or turns:",
            ),
            (
                self.uris.is_empty() || has_key,
                "`turn.uris` needs `turn.shared_secret`, or `turn.username` and `turn.password`",
            ),
            (
                !self.uris.is_empty() || !has_key,
                "`turn` has credentials, but `turn.uris` names no server",
            ),
            (
                self.username.is_some() == self.password.is_some(),
                "`turn.username` and `turn.password` must be set together",
            ),
            (
                !has_account || self.shared_secret.is_none(),
                "`turn.shared_secret` and `turn.username` cannot be set together",
            ),
            (self.ttl.0 > 0, "`turn.ttl` must not be 0"),
        ];
        let wrong = checks.into_iter().filter(|(is_right, _)| !is_right);
        wrong.map(|(_, text)| text.to_owned()).collect()
    }
}
