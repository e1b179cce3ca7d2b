//! Starts a session: creates the device if it does not exist, and its tokens.

use std::time::Duration;

use database::{StoreError, Txn, UserNumber};
use devices::Device;
use ruma::OwnedDeviceId;

use crate::{
    sessions::{AccessToken, RefreshToken, Revoked},
    tables::{
        ACCESS_TOKENS, AccessTokenRow, REFRESH_TOKENS, RefreshTokenRow, SESSIONS, SessionRow,
        TokenPair,
    },
    users::Users,
};

/// Longer device ids are refused.
const DEVICE_ID_BYTES: usize = 255;
/// Letters and digits of a generated device id.
const DEVICE_ID_LENGTH: usize = 10;
/// Longer device names are truncated.
const DEVICE_NAME_CHARACTERS: usize = 100;

/// The device of a login.
#[derive(Clone, Debug, Default)]
pub struct NewDevice {
    /// Generated if there is none. An existing device is reused, and its older tokens are revoked.
    pub id: Option<OwnedDeviceId>,
    /// For a new device only.
    pub display_name: Option<String>,
    /// Whether the client supports refresh tokens; then its access token expires.
    pub can_refresh: bool,
}

/// The result of a login.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub device_id: OwnedDeviceId,
    pub access_token: AccessToken,
    pub refresh_token: Option<RefreshToken>,
    /// `None`: until it is revoked.
    pub expires_in: Option<Duration>,
}

/// A pair of tokens that is not committed yet.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: AccessToken,
    pub(crate) refresh: Option<RefreshToken>,
    pub(crate) expires_in: Option<Duration>,
    /// Unix milliseconds.
    pub(crate) expires: Option<u64>,
}

/// A session whose random values are already chosen, so that the commit can be retried.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    device_id: OwnedDeviceId,
    device: Device,
    tokens: Tokens,
}

impl Users {
    /// `None` for a device id that is empty or too long.
    pub(crate) fn prepare_session(&self, new: &NewDevice) -> Option<Prepared> {
        let device_id = match &new.id {
            Some(id) => id.clone(),
            None => self
                .0
                .random
                .token(DEVICE_ID_LENGTH)
                .to_ascii_uppercase()
                .into(),
        };
        if device_id.as_str().is_empty() || device_id.as_str().len() > DEVICE_ID_BYTES {
            return None;
        }
        let display_name = new.display_name.as_deref().map(short_device_name);
        let device = Device {
            display_name,
            created: self.0.clock.now().0,
        };
        Some(Prepared {
            device_id,
            device,
            tokens: self.new_tokens(new.can_refresh),
        })
    }

    pub(crate) fn new_tokens(&self, can_refresh: bool) -> Tokens {
        let random = &*self.0.random;
        let expires_in = can_refresh.then_some(self.0.config.access_token_lifetime);
        Tokens {
            access: AccessToken::random(random),
            refresh: can_refresh.then(|| RefreshToken::random(random)),
            expires_in,
            expires: expires_in.map(|lifetime| self.0.clock.now().plus(lifetime).0),
        }
    }
}

impl Prepared {
    pub(crate) fn device_id(&self) -> &str {
        self.device_id.as_str()
    }

    /// Writes the device and its session, and deletes the session that the device had.
    pub(crate) async fn start(&self, txn: &Txn, user: UserNumber) -> Result<Revoked, StoreError> {
        let device = self.device_id.as_str();
        let revoked = Revoked::session(txn, user, device).await?;
        devices::create(txn, user, device, &self.device).await?;
        let current = self.tokens.write(txn, user, device, Usage::Used);
        txn.put(
            SESSIONS.at((user, device)),
            &SessionRow {
                current,
                next: None,
            },
        );
        Ok(revoked)
    }

    pub(crate) fn into_session(self) -> NewSession {
        NewSession {
            device_id: self.device_id,
            access_token: self.tokens.access,
            refresh_token: self.tokens.refresh,
            expires_in: self.tokens.expires_in,
        }
    }
}

/// Whether the first use of a pair of tokens must still revoke the previous pair.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    Used,
    Unused,
}

impl Tokens {
    /// Writes the rows by which both tokens are found.
    pub(crate) fn write(
        &self,
        txn: &Txn,
        user: UserNumber,
        device: &str,
        usage: Usage,
    ) -> TokenPair {
        let device = device.to_owned();
        let refresh = self.refresh.as_ref().map(RefreshToken::hash);
        if let Some(hash) = &refresh {
            let row = RefreshTokenRow {
                user,
                device: device.clone(),
            };
            txn.put(REFRESH_TOKENS.at(hash), &row);
        }
        let access = self.access.hash();
        let is_unused = usage == Usage::Unused;
        let row = AccessTokenRow {
            user,
            device,
            expires: self.expires,
            is_unused,
        };
        txn.put(ACCESS_TOKENS.at(&access), &row);
        TokenPair { access, refresh }
    }
}

/// A device's name, truncated to the limit.
pub(crate) fn short_device_name(name: &str) -> String {
    name.chars().take(DEVICE_NAME_CHARACTERS).collect()
}
