//! `/keys/claim`: returns one-time keys in the order of upload, each exactly once; then the
//! fallback key.

use database::{
    Read, StoreError, Txn, UserNumber,
    server_log::{self, Concern},
};

use super::{
    one_time::remember_claim,
    tables::{FALLBACK_KEYS, KEY_COUNTS, ONE_TIME_KEYS},
};
use crate::handle::Devices;

/// A requested key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub user: UserNumber,
    pub device: String,
    pub algorithm: String,
}

/// A claimed key. No other claim gets it, unless it is a fallback key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedKey {
    /// `<algorithm>:<id>`.
    pub id: String,
    pub json: String,
}

/// Claims that go into one commit.
const CHUNK: usize = 1_000;

impl Devices {
    /// One key per claim, in order; `None` if there is none. The claim is durable before this
    /// returns, so a returned key is never returned again, even after a crash.
    pub async fn claim_keys(
        &self,
        claims: &[Claim],
    ) -> Result<Vec<Option<ClaimedKey>>, StoreError> {
        let mut keys = Vec::with_capacity(claims.len());
        for claims in claims.chunks(CHUNK) {
            let devices = claims
                .iter()
                .map(|claim| (claim.user, claim.device.as_str()));
            let _turns = self.0.turns.take(devices).await;
            let body = move |txn: Txn| async move {
                let mut keys = Vec::with_capacity(claims.len());
                for claim in claims {
                    keys.push(take(&txn, claim).await?);
                }
                Ok::<_, StoreError>(keys)
            };
            keys.extend(self.0.store.transact(body).await?.0);
        }
        Ok(keys)
    }
}

async fn take(txn: &Txn, claim: &Claim) -> Result<Option<ClaimedKey>, StoreError> {
    let Claim {
        user,
        device,
        algorithm,
    } = claim;
    let keys = ONE_TIME_KEYS.under((*user, device, algorithm));
    let Some(((_, _, _, position), key)) = txn.page(keys, 1).await?.pop() else {
        return take_fallback(txn, claim).await;
    };
    txn.delete(ONE_TIME_KEYS.at((*user, device, algorithm, position)));
    let mut counts = txn
        .get(KEY_COUNTS.at((*user, device)))
        .await?
        .unwrap_or_default();
    if let Some(count) = counts.unclaimed.get_mut(algorithm) {
        *count = count.saturating_sub(1);
    }
    remember_claim(txn, *user, device, &key, &mut counts).await?;
    txn.put(KEY_COUNTS.at((*user, device)), &counts);
    server_log::tell(txn, txn.slot(), Concern::User(*user));
    Ok(Some(ClaimedKey {
        id: key.id,
        json: key.json,
    }))
}

async fn take_fallback(txn: &Txn, claim: &Claim) -> Result<Option<ClaimedKey>, StoreError> {
    let row = FALLBACK_KEYS.at((claim.user, &claim.device, &claim.algorithm));
    let Some(mut key) = txn.get(row.clone()).await? else {
        return Ok(None);
    };
    if !key.is_used {
        key.is_used = true;
        txn.put(row, &key);
        server_log::tell(txn, txn.slot(), Concern::User(claim.user));
    }
    Ok(Some(ClaimedKey {
        id: key.id,
        json: key.json,
    }))
}
