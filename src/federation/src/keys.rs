//! The keys that this server signs with (server-server API, "Retrieving server keys"; appendices, "Signing JSON").
//!
//! The only thing that can be signed is what implements the calls of `protocol::event`: events that this server built.

use std::{fmt, sync::Arc};

use database::{Clock, Random, Read, Store, StoreError};
use ed25519_dalek::{Signer as _, SigningKey};
use protocol::event::Signer;
use ruma::{OwnedServerName, ServerName};

use crate::tables::{SIGNING_KEYS, StoredKey};

/// This server's name and the key it signs with now. Cheap to clone; never prints the key.
#[derive(Clone)]
pub struct Keys(Arc<Parts>);

struct Parts {
    server_name: OwnedServerName,
    key_id: String,
    key: SigningKey,
}

/// Keys of one server are few: one, and those it had before.
const MOST_KEYS: usize = 1000;

impl Keys {
    /// The key in use, made now if the database has none.
    pub async fn open(
        store: &Store,
        random: &dyn Random,
        clock: &dyn Clock,
        server_name: OwnedServerName,
    ) -> Result<Self, StoreError> {
        let mut seed = [0; 32];
        random.fill(&mut seed);
        let made_id = format!("ed25519:a_{}", random.token(6));
        let made = StoredKey {
            seed,
            created: clock.now().0,
            replaced: None,
        };
        let (made_id, made) = (&made_id, &made);
        let body = |txn: database::Txn| async move {
            let known = txn.page(SIGNING_KEYS.all(), MOST_KEYS).await?;
            let in_use = known.into_iter().filter(|(_, key)| key.replaced.is_none());
            if let Some(newest) = in_use.max_by_key(|(_, key)| key.created) {
                return Ok::<_, StoreError>(newest);
            }
            txn.put(SIGNING_KEYS.at(made_id), made);
            Ok((made_id.clone(), made.clone()))
        };
        let ((key_id, stored), _) = store.transact(body).await?;
        let key = SigningKey::from_bytes(&stored.seed);
        Ok(Self(Arc::new(Parts {
            server_name,
            key_id,
            key,
        })))
    }

    /// As others verify with.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.key.verifying_key().to_bytes()
    }
}

impl Signer for Keys {
    fn server_name(&self) -> &ServerName {
        &self.0.server_name
    }

    fn key_id(&self) -> &str {
        &self.0.key_id
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Keys")
            .field("key_id", &self.0.key_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use database::{MockClock, SeededRandom};

    use super::*;

    async fn open(store: &Store, seed: u64) -> Keys {
        let name = OwnedServerName::try_from("example.org").expect("a server name");
        let (random, clock) = (SeededRandom::new(seed), MockClock::default());
        Keys::open(store, &random, &clock, name)
            .await
            .expect("memory does not fail")
    }

    #[tokio::test]
    async fn the_key_is_made_once_and_kept() {
        let store = Store::memory();
        let first = open(&store, 1).await;
        let second = open(&store, 2).await;

        assert_eq!(first.key_id(), second.key_id());
        assert_eq!(first.sign(b"hello"), second.sign(b"hello"));
    }

    #[tokio::test]
    async fn a_replaced_key_is_kept_and_signs_no_more() {
        let store = Store::memory();
        let old = open(&store, 1).await;
        let old_id = &old.key_id().to_owned();
        let replaced = store.transact::<_, StoreError, _>(|txn| async move {
            let key = txn.get(SIGNING_KEYS.at(old_id)).await?.expect("the key");
            txn.put(
                SIGNING_KEYS.at(old_id),
                &StoredKey {
                    replaced: Some(5),
                    ..key
                },
            );
            Ok(())
        });
        replaced.await.expect("a commit");

        let new = open(&store, 2).await;

        assert_ne!(new.public_key(), old.public_key());
        let db = store.snapshot().await.expect("a snapshot");
        assert!(
            db.get(SIGNING_KEYS.at(old_id))
                .await
                .expect("a read")
                .is_some()
        );
    }

    #[tokio::test]
    async fn a_signature_verifies_with_the_public_key() {
        let keys = open(&Store::memory(), 1).await;
        let public = ed25519_dalek::VerifyingKey::from_bytes(&keys.public_key()).expect("a key");
        let signature = ed25519_dalek::Signature::from_bytes(&keys.sign(b"message"));
        assert!(public.verify_strict(b"message", &signature).is_ok());
        assert!(public.verify_strict(b"other", &signature).is_err());
    }

    #[tokio::test]
    async fn nothing_of_the_key_is_printed() {
        let keys = open(&Store::memory(), 1).await;

        assert!(!format!("{keys:?}").contains("seed"));
        assert!(!format!("{keys:?}").contains("SigningKey"));
    }
}
