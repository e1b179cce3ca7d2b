//! Storing what a document says. Rows are bounded in keys, the table in rows.

use database::{Millis, Read as _, StoreError, Txn};

use super::{
    KeyDocument,
    document::{MOST_KEYS, PublishedKey},
    server_keys::Parts,
    validity::LONGEST_VALIDITY,
};
use crate::tables::{SERVER_KEYS, SERVER_KEYS_COUNT, ServerKeyRow, ServerKeysRow};

/// Servers whose keys are stored, each in at most 45 KiB and usually in less than one. Anybody can make this server fetch
/// the keys of any number of servers.
const MOST_SERVERS: u64 = 50_000;
/// Of so many, next to each other in the table, the one whose keys were fetched longest ago makes room.
const CANDIDATES: usize = 16;

/// Who brought a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Server,
    /// It may be out of date, and never replaces a key by another of the same id.
    KeyServer,
}

pub(super) async fn learn(
    parts: &Parts,
    document: &KeyDocument,
    source: Source,
) -> Result<(), StoreError> {
    let now = parts.clock.now();
    let server = document.server_name();
    let somewhere = &parts.random.token(3).to_ascii_lowercase();
    let body = |txn: Txn| async move {
        let held = txn.get(SERVER_KEYS.at(server.as_str())).await?;
        if held.is_none() {
            make_room(&txn, somewhere, MOST_SERVERS).await?;
        }
        let row = merged(held, document, source, now);
        txn.put(SERVER_KEYS.at(server.as_str()), &row);
        Ok::<_, StoreError>(row)
    };
    let (row, _) = parts.store.transact(body).await?;
    parts.known.put(server, &row);
    Ok(())
}

/// Counts one more row, which takes the place of another where there are enough.
async fn make_room(txn: &Txn, somewhere: &str, most: u64) -> Result<(), StoreError> {
    let counter = SERVER_KEYS_COUNT.at(SERVER_KEYS.name());
    let count = txn.get(counter.clone()).await?.unwrap_or(0);
    if count < most {
        txn.put(counter, &(count + 1));
        return Ok(());
    }
    let mut candidates = txn
        .page(SERVER_KEYS.all().from(somewhere), CANDIDATES)
        .await?;
    if candidates.is_empty() {
        candidates = txn.page(SERVER_KEYS.all(), CANDIDATES).await?;
    }
    let oldest = candidates.into_iter().min_by_key(|(_, row)| row.fetched);
    if let Some((server, _)) = oldest {
        txn.delete(SERVER_KEYS.at(&server));
    }
    Ok(())
}

fn merged(
    held: Option<ServerKeysRow>,
    document: &KeyDocument,
    source: Source,
    now: Millis,
) -> ServerKeysRow {
    let document_until = document.valid_until();
    let valid_until = document_until.min(now.plus(LONGEST_VALIDITY));
    let is_newest = source == Source::Server
        || held
            .as_ref()
            .is_none_or(|held| held.valid_until <= document_until.0);
    let mut row = held.unwrap_or_else(|| ServerKeysRow {
        keys: Vec::new(),
        document: String::new(),
        valid_until: 0,
        fetched: 0,
    });
    for key in document.keys() {
        match row.keys.iter_mut().find(|held| held.id == key.id) {
            None => row.keys.push(stored(key, valid_until)),
            Some(held) if held.public == key.public && is_newest => {
                *held = stored(key, valid_until);
            }
            Some(held) if source == Source::Server => *held = stored(key, valid_until),
            Some(_) => {}
        }
    }
    // The keys that were of use last stay.
    row.keys
        .sort_by_key(|key| std::cmp::Reverse(key.expired.unwrap_or(key.valid_until)));
    row.keys.truncate(MOST_KEYS);
    if is_newest {
        document.json().clone_into(&mut row.document);
        row.valid_until = document_until.0;
        row.fetched = now.0;
    }
    row
}

fn stored(key: PublishedKey<'_>, valid_until: Millis) -> ServerKeyRow {
    ServerKeyRow {
        id: key.id.to_owned(),
        public: key.public,
        valid_until: valid_until.0,
        expired: key.expired.map(|expired| expired.0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use database::{Clock, MockClock, SeededRandom, Store};
    use ruma::server_name;

    use super::*;
    use crate::keys::Keys;

    fn row(fetched: u64) -> ServerKeysRow {
        ServerKeysRow {
            keys: Vec::new(),
            document: String::new(),
            valid_until: 0,
            fetched,
        }
    }

    #[tokio::test]
    async fn a_full_table_drops_what_was_fetched_long_ago() {
        let store = Store::memory();
        for (name, fetched) in [("a", 3), ("b", 1), ("c", 2), ("d", 4)] {
            let body = |txn: Txn| async move {
                make_room(&txn, "a", 3).await?;
                txn.put(SERVER_KEYS.at(name), &row(fetched));
                Ok::<_, StoreError>(())
            };
            store.transact(body).await.expect("memory does not fail");
        }
        let db = store.snapshot().await.expect("a snapshot");
        let rows = db.page(SERVER_KEYS.all(), 10).await.expect("rows");
        let names: Vec<_> = rows.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "c", "d"]);
    }

    async fn document(store: &Store, seed: u64, clock: &dyn Clock) -> (Keys, KeyDocument) {
        let name = server_name!("a.example");
        let keys = Keys::open(store, &SeededRandom::new(seed), clock, name.to_owned()).await;
        let keys = keys.expect("memory does not fail");
        let document = KeyDocument::check(&keys.document(clock), name).expect("it is valid");
        (keys, document)
    }

    #[tokio::test]
    async fn keys_are_valid_for_seven_days_at_most() {
        let clock = MockClock::default();
        let (_, document) = document(&Store::memory(), 1, &clock).await;
        let early = Millis(clock.now().0 - 30 * 24 * 3_600_000);
        let row = merged(None, &document, Source::Server, early);
        assert_eq!(row.keys[0].valid_until, early.plus(LONGEST_VALIDITY).0);
        assert_eq!(row.valid_until, document.valid_until().0);
    }

    #[tokio::test]
    async fn a_key_server_does_not_bring_back_what_the_server_has_ended() {
        let clock = MockClock::default();
        let store = Store::memory();
        let (keys, old) = document(&store, 1, &clock).await;
        clock.advance(Duration::from_hours(2));
        let rotated = keys.rotate(&store, &SeededRandom::new(2), &clock).await;
        rotated.expect("memory does not fail");
        let new = KeyDocument::check(&keys.document(&clock), keys.server_name());
        let row = merged(
            None,
            &new.expect("it is valid"),
            Source::Server,
            clock.now(),
        );

        let after = merged(Some(row.clone()), &old, Source::KeyServer, clock.now());

        assert_eq!(after, row);
        assert_eq!(
            row.keys.iter().filter(|key| key.expired.is_some()).count(),
            1
        );
    }
}
