//! Ignored users: `m.ignored_user_list`, client-server API, "Ignoring Users".

use std::{collections::HashSet, sync::Arc};

use database::{Read, Snapshot, Stamp, StoreError, UserNumber};
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{account_data, cache::Cache, users::Users};

pub(crate) const KIND: &str = "m.ignored_user_list";
/// Entries of the cache. Most lists are empty and share one allocation.
const CACHED: usize = 16_384;

/// Ignored users of recently syncing users. An entry is evicted when its user changes the list.
pub(crate) struct IgnoredCache {
    lists: Cache<UserNumber, Arc<HashSet<OwnedUserId>>>,
    nobody: Arc<HashSet<OwnedUserId>>,
}

impl Default for IgnoredCache {
    fn default() -> Self {
        Self {
            lists: Cache::new(CACHED),
            nobody: Arc::default(),
        }
    }
}

impl IgnoredCache {
    pub(crate) fn remove(&self, user: UserNumber, stamp: Stamp) {
        self.lists.remove(&user, stamp);
    }
}

/// Lenient: skips entries that are not user ids.
#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    ignored_users: Map<String, Value>,
}

impl Users {
    /// The users that a user ignores. Usually served from the cache.
    pub async fn ignored(
        &self,
        db: &Snapshot,
        user: UserNumber,
    ) -> Result<Arc<HashSet<OwnedUserId>>, StoreError> {
        let cache = &self.0.ignored;
        if let Some(known) = cache.lists.get(&user) {
            return Ok(known);
        }
        let list = match account_data::get(db, user, None, KIND).await? {
            Some(content) => Arc::new(parse(&content)),
            None => Arc::clone(&cache.nobody),
        };
        cache.lists.offer(user, Arc::clone(&list), db.stamp());
        Ok(list)
    }
}

fn parse(content: &str) -> HashSet<OwnedUserId> {
    let Ok(content) = serde_json::from_str::<Content>(content) else {
        return HashSet::new();
    };
    let ids = content.ignored_users.keys();
    ids.filter_map(|id| OwnedUserId::try_from(id.as_str()).ok())
        .collect()
}
