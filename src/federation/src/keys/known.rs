//! Keys in memory, from the database where they are not. Bounded in bytes; a commit of new keys replaces the entry.

use std::sync::Arc;

use database::{Read as _, Store, StoreError};
use quick_cache::{Weighter, sync::Cache};
use ruma::ServerName;

use super::ServerKey;
use crate::tables::{SERVER_KEYS, ServerKeysRow};

const BYTES: u64 = 4 << 20;
const USUAL_ENTRY: u64 = 600;

pub(super) struct Known(Cache<String, Arc<Entry>, Weight>);

struct Entry {
    keys: Vec<(String, ServerKey)>,
    fetched: u64,
}

#[derive(Clone)]
struct Weight;

impl Weighter<String, Arc<Entry>> for Weight {
    fn weight(&self, server: &String, entry: &Arc<Entry>) -> u64 {
        let keys = entry
            .keys
            .iter()
            .map(|(id, _)| id.len() + size_of::<(String, ServerKey)>());
        (server.len() + keys.sum::<usize>() + 128) as u64
    }
}

impl Known {
    pub(super) fn new() -> Self {
        let items = usize::try_from(BYTES / USUAL_ENTRY).unwrap_or(usize::MAX);
        Self(Cache::with_weighter(items, BYTES, Weight))
    }

    pub(super) async fn get(
        &self,
        store: &Store,
        server: &ServerName,
        key_id: &str,
    ) -> Result<Option<ServerKey>, StoreError> {
        if let Some(entry) = self.0.get(server.as_str()) {
            return Ok(entry.find(key_id));
        }
        let row = store
            .snapshot()
            .await?
            .get(SERVER_KEYS.at(server.as_str()))
            .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        self.put(server, &row);
        Ok(Entry::of(&row).find(key_id))
    }

    /// A reader with an old snapshot does not replace what a commit has put.
    pub(super) fn put(&self, server: &ServerName, row: &ServerKeysRow) {
        let held = self.0.peek(server.as_str());
        if held.is_none_or(|held| held.fetched <= row.fetched) {
            self.0
                .insert(server.as_str().to_owned(), Arc::new(Entry::of(row)));
        }
    }
}

impl Entry {
    fn of(row: &ServerKeysRow) -> Self {
        let keys = row
            .keys
            .iter()
            .filter_map(|key| Some((key.id.clone(), ServerKey::of(key)?)));
        Self {
            keys: keys.collect(),
            fetched: row.fetched,
        }
    }

    fn find(&self, key_id: &str) -> Option<ServerKey> {
        let found = self.keys.iter().find(|(id, _)| id == key_id);
        found.map(|(_, key)| key.clone())
    }
}
