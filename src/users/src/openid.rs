//! Tokens by which a user proves to another service who they are: client-server API, "OpenID", and
//! server-server API, "OpenID".
//!
//! They give no access to this server: the service only learns the user id. A token expires after
//! an hour; each new one deletes a few expired ones, more than one, so that they do not accumulate.

use std::{fmt, time::Duration};

use database::{Millis, Random, Read, StoreError, Txn, UserNumber};
use ruma::OwnedUserId;

use crate::{
    accounts::AccountStatus,
    error::TokenError,
    sessions::hash_token,
    tables::{ACCOUNTS, OPENID_EXPIRIES, OPENID_TOKENS, OpenIdRow, TokenHash},
    users::Users,
};

/// The lifetime of a token.
pub const OPENID_LIFETIME: Duration = Duration::from_hours(1);
/// Expired tokens that each new one deletes.
const FORGOTTEN_AT_ONCE: usize = 8;
/// Letters and digits of a token: 238 bits.
const LENGTH: usize = 40;
const PREFIX: &str = "aqo_";

/// Proves to another service which user its bearer is.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenIdToken(String);

impl OpenIdToken {
    fn random(random: &dyn Random) -> Self {
        Self(format!("{PREFIX}{}", random.token(LENGTH)))
    }

    /// For the response to the client, and nothing else.
    pub fn reveal(self) -> String {
        self.0
    }
}

impl fmt::Debug for OpenIdToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenIdToken(..)")
    }
}

impl Users {
    /// A new token of a user, valid for [`OPENID_LIFETIME`].
    pub async fn new_openid_token(&self, user: UserNumber) -> Result<OpenIdToken, StoreError> {
        let token = OpenIdToken::random(&*self.0.random);
        let hash = &hash_token(&token.0);
        let now = self.0.clock.now();
        let expires = now.plus(OPENID_LIFETIME);
        let expired = &self.expired_openid_tokens(now).await?;
        let body = move |txn: Txn| async move {
            for (expires, hash) in expired {
                txn.delete(OPENID_TOKENS.at(hash));
                txn.delete(OPENID_EXPIRIES.at((*expires, hash)));
            }
            txn.put(OPENID_TOKENS.at(hash), &OpenIdRow { user, expires });
            txn.put(OPENID_EXPIRIES.at((expires, hash)), &());
            Ok::<_, StoreError>(())
        };
        self.0.store.transact(body).await?;
        Ok(token)
    }

    /// The user of a token, unless it has expired or the user is deactivated.
    pub async fn openid_user(&self, token: &str) -> Result<OwnedUserId, TokenError> {
        let db = self.snapshot().await?;
        let row = db.get(OPENID_TOKENS.at(&hash_token(token))).await?;
        let row = row.filter(|row| row.expires > self.0.clock.now());
        let user = row.ok_or(TokenError::Unknown)?.user;
        let account = db.get(ACCOUNTS.at(user)).await?;
        if account.is_none_or(|account| account.status != AccountStatus::Active) {
            return Err(TokenError::Unknown);
        }
        let user_id = self.user_id(&db, user).await?;
        Ok(user_id.ok_or(StoreError::Corrupt("openid_tokens names no user"))?)
    }

    async fn expired_openid_tokens(
        &self,
        now: Millis,
    ) -> Result<Vec<(Millis, TokenHash)>, StoreError> {
        let db = self.snapshot().await?;
        let oldest = db.page(OPENID_EXPIRIES.all(), FORGOTTEN_AT_ONCE).await?;
        let keys = oldest.into_iter().map(|(key, ())| key);
        Ok(keys.take_while(|(expires, _)| *expires <= now).collect())
    }
}
