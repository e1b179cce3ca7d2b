//! Tokens as clients hold them. Never empty, never printed; only their hashes are stored.

use std::fmt;

use database::Random;
use sha2::{Digest, Sha256};

use crate::tables::TokenHash;

/// Letters and digits of a token: 238 bits.
const LENGTH: usize = 40;
/// Prefixes let people and secret scanners recognize a leaked token.
const ACCESS_PREFIX: &str = "aqa_";
const REFRESH_PREFIX: &str = "aqr_";

/// Gives access to the account from one device.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(String);

/// Renews the access token of one session.
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(String);

impl AccessToken {
    pub(crate) fn random(random: &dyn Random) -> Self {
        Self(format!("{ACCESS_PREFIX}{}", random.token(LENGTH)))
    }

    pub(crate) fn hash(&self) -> TokenHash {
        hash(&self.0)
    }

    /// For the response to the client, and nothing else.
    pub fn reveal(self) -> String {
        self.0
    }
}

impl RefreshToken {
    pub(crate) fn random(random: &dyn Random) -> Self {
        Self(format!("{REFRESH_PREFIX}{}", random.token(LENGTH)))
    }

    pub(crate) fn hash(&self) -> TokenHash {
        hash(&self.0)
    }

    /// For the response to the client, and nothing else.
    pub fn reveal(self) -> String {
        self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken(..)")
    }
}

/// Unsalted on purpose: tokens are random, so nobody can precompute hashes of likely ones.
pub(crate) fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}
