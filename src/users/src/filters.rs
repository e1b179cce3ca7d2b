//! Filters: client-server API, "Filtering". A filter's id is the hash of its content, so equal
//! filters are stored once.

use std::{fmt::Write as _, sync::Arc};

use database::{Read, Snapshot, StoreError, Txn, UserNumber};
use ruma::api::client::filter::FilterDefinition;
use sha2::{Digest, Sha256};

use crate::{
    cache::Cache,
    error::FilterError,
    tables::{FILTER_COUNTS, FILTERS},
    users::Users,
};

pub(crate) const FILTER_BYTES: usize = 64 * 1024;
pub(crate) const FILTERS_PER_USER: u64 = 1_000;
/// Parsed filters in the cache. A typical one takes a few hundred bytes.
const CACHED: usize = 1_024;
/// Larger ones are parsed at every use, which bounds the cache in bytes: 4 MiB of JSON.
const CACHED_BYTES: usize = 4 * 1024;
/// Bytes of the hash in an id.
const ID_BYTES: usize = 10;

/// Recently used filters. Entries never become stale, because an id is a hash of the content.
pub(crate) struct FilterCache(Cache<(UserNumber, String), Arc<FilterDefinition>>);

impl Default for FilterCache {
    fn default() -> Self {
        Self(Cache::new(CACHED))
    }
}

impl Users {
    /// Stores a filter and returns its id.
    pub async fn keep_filter(
        &self,
        user: UserNumber,
        filter: &FilterDefinition,
    ) -> Result<String, FilterError> {
        let json = serde_json::to_string(filter).map_err(|_| FilterError::TooLarge)?;
        if json.len() > FILTER_BYTES {
            return Err(FilterError::TooLarge);
        }
        let (id, json) = (&filter_id(&json), &json);
        let body = move |txn: Txn| async move {
            if txn.exists(FILTERS.at((user, id))).await? {
                return Ok(());
            }
            let count = txn.get(FILTER_COUNTS.at(user)).await?.unwrap_or_default();
            if count >= FILTERS_PER_USER {
                return Err(FilterError::TooMany);
            }
            txn.put(FILTER_COUNTS.at(user), &(count + 1));
            txn.put(FILTERS.at((user, id)), json);
            Ok(())
        };
        self.0.store.transact(body).await?;
        Ok(id.clone())
    }

    /// A filter of a user by its id.
    pub async fn filter(
        &self,
        db: &Snapshot,
        user: UserNumber,
        id: &str,
    ) -> Result<Option<Arc<FilterDefinition>>, StoreError> {
        let key = (user, id.to_owned());
        if let Some(known) = self.0.filters.0.get(&key) {
            return Ok(Some(known));
        }
        let Some(json) = db.get(FILTERS.at((user, id))).await? else {
            return Ok(None);
        };
        let filter = serde_json::from_str(&json).map_err(|_| StoreError::Corrupt("filter"))?;
        let filter = Arc::new(filter);
        if json.len() <= CACHED_BYTES {
            self.0.filters.0.offer(key, Arc::clone(&filter), db.stamp());
        }
        Ok(Some(filter))
    }
}

fn filter_id(json: &str) -> String {
    let digest = Sha256::digest(json.as_bytes());
    let mut id = String::with_capacity(2 * ID_BYTES);
    for byte in &digest[..ID_BYTES] {
        write!(id, "{byte:02x}").expect("writing to a String cannot fail");
    }
    id
}
