//! `POST /refresh`: client-server API, "Refreshing access tokens".
//!
//! The old pair is valid until the new one is first used, through either token; the commit that
//! records that use revokes it. A client that lost the response can therefore repeat the request
//! with the same refresh token: the pair that it never received is replaced.

use std::time::Duration;

use database::{Read, StoreError, Txn, UserNumber};

use crate::{
    error::TokenError,
    sessions::{
        AccessToken, RefreshToken, Revoked,
        start::{Tokens, Usage},
        token,
    },
    tables::{ACCESS_TOKENS, REFRESH_TOKENS, SESSIONS, SessionRow, TokenHash},
    users::Users,
};

/// The tokens that replace a refresh token.
#[derive(Clone, Debug)]
pub struct Renewed {
    pub access_token: AccessToken,
    pub refresh_token: Option<RefreshToken>,
    pub expires_in: Option<Duration>,
}

impl Users {
    pub async fn refresh(&self, refresh_token: &str) -> Result<Renewed, TokenError> {
        let hash = token::hash(refresh_token);
        let tokens = self.new_tokens(true);
        let (users, new) = (self.clone(), tokens.clone());
        self.finish(async move {
            let (hash, new) = (&hash, &new);
            let body = move |txn: Txn| async move { renew(&txn, hash, new).await };
            let (revoked, stamp) = users.0.store.transact(body).await?;
            users.forget(&revoked, stamp);
            Ok::<_, TokenError>(())
        })
        .await?;
        Ok(Renewed {
            access_token: tokens.access,
            refresh_token: tokens.refresh,
            expires_in: tokens.expires_in,
        })
    }
}

async fn renew(txn: &Txn, hash: &TokenHash, new: &Tokens) -> Result<Revoked, TokenError> {
    let found = txn
        .get(REFRESH_TOKENS.at(hash))
        .await?
        .ok_or(TokenError::Unknown)?;
    let at = (found.user, found.device.as_str());
    let session = txn.get(SESSIONS.at(at)).await?.ok_or(TokenError::Unknown)?;
    let mut revoked = Revoked::default();
    let current = match session.next {
        Some(next) if next.refresh.as_ref() == Some(hash) => {
            use_next(txn, &mut revoked, session).await?.current
        }
        // The response with the next pair was lost.
        Some(next) => {
            revoked.pair(txn, next);
            session.current
        }
        None => session.current,
    };
    let next = Some(new.write(txn, found.user, &found.device, Usage::Unused));
    txn.put(SESSIONS.at(at), &SessionRow { current, next });
    Ok(revoked)
}

/// Records the first use of an access token from a refresh. `None` if it is no longer such a token.
pub(crate) async fn first_use(
    txn: &Txn,
    access: &TokenHash,
    user: UserNumber,
    device: &str,
) -> Result<Revoked, StoreError> {
    let mut revoked = Revoked::default();
    if let Some(session) = txn.get(SESSIONS.at((user, device))).await?
        && session.next.is_some_and(|next| next.access == *access)
    {
        let session = use_next(txn, &mut revoked, session).await?;
        txn.put(SESSIONS.at((user, device)), &session);
    }
    Ok(revoked)
}

/// Makes the next pair the current one, and revokes the old one. The caller writes the session.
async fn use_next(
    txn: &Txn,
    revoked: &mut Revoked,
    session: SessionRow,
) -> Result<SessionRow, StoreError> {
    let Some(next) = session.next else {
        return Ok(session);
    };
    revoked.pair(txn, session.current);
    if let Some(mut row) = txn.get(ACCESS_TOKENS.at(&next.access)).await? {
        row.is_unused = false;
        txn.put(ACCESS_TOKENS.at(&next.access), &row);
    }
    Ok(SessionRow {
        current: next,
        next: None,
    })
}
