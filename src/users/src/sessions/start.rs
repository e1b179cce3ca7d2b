//! The start of a session: a device, made where there is none, and its tokens.

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
/// Letters and digits of a device id that we make.
const DEVICE_ID_LENGTH: usize = 10;
/// Longer names of devices are cut.
const DEVICE_NAME_CHARACTERS: usize = 100;

/// The device that someone logs in with.
#[derive(Clone, Debug, Default)]
pub struct NewDevice {
    /// One is made up if there is none. A known one is taken over: its older tokens end.
    pub id: Option<OwnedDeviceId>,
    /// For a new device only.
    pub display_name: Option<String>,
    /// Whether the client knows refresh tokens: then its access token expires.
    pub can_refresh: bool,
}

/// What a client gets when it logs in.
#[derive(Clone, Debug)]
pub struct NewSession {
    pub device_id: OwnedDeviceId,
    pub access_token: AccessToken,
    pub refresh_token: Option<RefreshToken>,
    /// `None`: until it is revoked.
    pub expires_in: Option<Duration>,
}

/// A pair of tokens that no commit holds yet.
#[derive(Clone, Debug)]
pub(crate) struct Tokens {
    pub(crate) access: AccessToken,
    pub(crate) refresh: Option<RefreshToken>,
    pub(crate) expires_in: Option<Duration>,
    /// Unix milliseconds.
    pub(crate) expires: Option<u64>,
}

/// A session whose random parts are made, so that the commit may be tried again.
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
    /// Writes the device and its session, and ends the session that the device had.
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

/// Whether the first use of a pair of tokens still has to end the pair before it.
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

/// A device's name, cut where it is longer than anyone shows.
pub(crate) fn short_device_name(name: &str) -> String {
    name.chars().take(DEVICE_NAME_CHARACTERS).collect()
}
