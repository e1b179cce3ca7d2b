//! Authentication by access token. Every request needs it, so it is served from a cache: no disk,
//! about a microsecond.
//!
//! The cache belongs to `Users` and is bounded in bytes. A commit that revokes a token (logout,
//! deletion of the device, deactivation, password change, refresh) invalidates its entry.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, atomic::AtomicU64},
};

use database::{Read, Stamp, StoreError, Txn, UserNumber};
use ruma::{OwnedDeviceId, OwnedUserId};

use crate::{
    cache::Cache,
    error::TokenError,
    sessions::{refresh, token},
    tables::{ACCESS_TOKENS, AccessTokenRow, TokenHash},
    users::Users,
};

/// Bytes of one entry with its overhead: hash, user id, device id.
const ENTRY_BYTES: u64 = 320;

/// The bearer of an access token. Cheap to clone.
#[derive(Clone)]
pub struct Authenticated(Arc<Identity>);

/// The user and device of an access token.
pub struct Identity {
    pub user_id: OwnedUserId,
    pub number: UserNumber,
    pub device_id: OwnedDeviceId,
    /// Unix milliseconds.
    expires: Option<u64>,
    /// When the device's last use was last recorded: unix milliseconds, 0 for never.
    pub(crate) seen: AtomicU64,
}

impl Deref for Authenticated {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        &self.0
    }
}

impl fmt::Debug for Authenticated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticated")
            .field("user_id", &self.user_id)
            .field("device_id", &self.device_id)
            .finish_non_exhaustive()
    }
}

/// Recently used access tokens, by their hash.
pub(crate) struct TokenCache(Cache<TokenHash, Authenticated>);

impl TokenCache {
    pub(crate) fn new(bytes: u64) -> Self {
        Self(Cache::new(
            usize::try_from(bytes / ENTRY_BYTES).unwrap_or(usize::MAX),
        ))
    }

    pub(crate) fn remove(&self, hash: &TokenHash, stamp: Stamp) {
        self.0.remove(hash, stamp);
    }
}

impl Users {
    pub async fn authenticate(&self, access_token: &str) -> Result<Authenticated, TokenError> {
        let hash = token::hash(access_token);
        match self.0.tokens.0.get(&hash) {
            Some(known) => self.unexpired(known),
            None => self.authenticate_from_disk(hash).await,
        }
    }

    fn unexpired(&self, known: Authenticated) -> Result<Authenticated, TokenError> {
        match known.expires {
            Some(expires) if self.0.clock.now().0 >= expires => Err(TokenError::Expired),
            _ => Ok(known),
        }
    }

    async fn authenticate_from_disk(&self, hash: TokenHash) -> Result<Authenticated, TokenError> {
        let db = self.snapshot().await?;
        let row = db
            .get(ACCESS_TOKENS.at(&hash))
            .await?
            .ok_or(TokenError::Unknown)?;
        let user_id = self.user_id(&db, row.user).await?;
        let user_id = user_id.ok_or(StoreError::Corrupt("access_tokens names no user"))?;
        let known = self.unexpired(Authenticated(Arc::new(Identity {
            user_id,
            number: row.user,
            device_id: row.device.as_str().into(),
            expires: row.expires,
            seen: AtomicU64::new(0),
        })))?;
        let read_at = if row.is_unused {
            self.note_first_use(hash, row).await?
        } else {
            db.stamp()
        };
        self.0.tokens.0.offer(hash, known.clone(), read_at);
        Ok(known)
    }

    /// Revokes the pair of tokens that this one replaced. Returns the stamp at which the token is
    /// known to be valid.
    async fn note_first_use(
        &self,
        hash: TokenHash,
        row: AccessTokenRow,
    ) -> Result<Stamp, TokenError> {
        let users = self.clone();
        self.finish(async move {
            let (hash, row) = (&hash, &row);
            let body = move |txn: Txn| async move {
                if !txn.exists(ACCESS_TOKENS.at(hash)).await? {
                    return Err(TokenError::Unknown);
                }
                Ok(refresh::first_use(&txn, hash, row.user, &row.device).await?)
            };
            let (revoked, stamp) = users.0.store.transact(body).await?;
            users.forget(&revoked, stamp);
            Ok(stamp)
        })
        .await
    }
}
