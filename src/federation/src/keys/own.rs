//! The keys that this server signs with (server-server API, "Publishing Keys"; appendices, "Signing JSON").

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use database::{Clock, Millis, Random, Read as _, Store, StoreError, Txn};
use ed25519_dalek::{Signer as _, SigningKey};
use protocol::event::Signer;
use ruma::{OwnedServerName, ServerName};

use super::{ServerKey, public_key, publish::Published, validity::LONGEST_VALIDITY};
use crate::tables::{SIGNING_KEYS, StoredKey};

/// This server's name and keys. Cheap to clone; never prints a private key.
#[derive(Clone)]
pub struct Keys(Arc<Parts>);

struct Parts {
    server_name: OwnedServerName,
    ring: RwLock<Arc<Ring>>,
    /// The key document, kept for as long as it may be served.
    published: Mutex<Option<Published>>,
}

/// What the database holds.
struct Ring {
    current: Arc<SigningKeyInUse>,
    replaced: Vec<ReplacedKey>,
}

/// The key that signs. Whoever signs takes it once, so that id and signature belong together.
pub struct SigningKeyInUse {
    server_name: OwnedServerName,
    key_id: String,
    key: SigningKey,
}

/// A key that only checks what it signed before.
#[derive(Clone, Debug)]
pub(super) struct ReplacedKey {
    pub(super) id: String,
    pub(super) public: [u8; 32],
    pub(super) expired: Millis,
}

/// Keys of one server are few: one, and those it had before.
const MOST_KEYS: usize = 1000;
/// What is being signed with the old key while it is replaced must still be within its time.
const GRACE: Duration = Duration::from_mins(1);

impl Keys {
    /// The key in use, made now if the database has none.
    pub async fn open(
        store: &Store,
        random: &dyn Random,
        clock: &dyn Clock,
        server_name: OwnedServerName,
    ) -> Result<Self, StoreError> {
        let (made_id, made) = &make(random, clock);
        let body = |txn: Txn| async move {
            let mut known = txn.page(SIGNING_KEYS.all(), MOST_KEYS).await?;
            if !known.iter().any(|(_, key)| key.replaced.is_none()) {
                txn.put(SIGNING_KEYS.at(made_id), made);
                known.push((made_id.clone(), made.clone()));
            }
            Ok::<_, StoreError>(known)
        };
        let (known, _) = store.transact(body).await?;
        let ring = Ring::of(&server_name, known)?;
        Ok(Self(Arc::new(Parts {
            server_name,
            ring: RwLock::new(Arc::new(ring)),
            published: Mutex::default(),
        })))
    }

    /// Replaces the key in use, from the next signature on. Others learn of the new key when they meet it;
    /// the old one stays published. Returns the id of the new key.
    pub async fn rotate(
        &self,
        store: &Store,
        random: &dyn Random,
        clock: &dyn Clock,
    ) -> Result<String, StoreError> {
        let (made_id, made) = &make(random, clock);
        let replaced = Some(clock.now().plus(GRACE).0);
        let body = |txn: Txn| async move {
            let mut known = txn.page(SIGNING_KEYS.all(), MOST_KEYS).await?;
            if known.len() >= MOST_KEYS {
                return Err(StoreError::Unavailable(
                    "there are too many keys".to_owned(),
                ));
            }
            for (id, key) in &mut known {
                if key.replaced.is_none() {
                    key.replaced = replaced;
                    txn.put(SIGNING_KEYS.at(id), key);
                }
            }
            txn.put(SIGNING_KEYS.at(made_id), made);
            known.push((made_id.clone(), made.clone()));
            Ok::<_, StoreError>(known)
        };
        let (known, _) = store.transact(body).await?;
        let ring = Ring::of(&self.0.server_name, known)?;
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        *self.published() = None;
        Ok(made_id.clone())
    }

    pub fn server_name(&self) -> &ServerName {
        &self.0.server_name
    }

    /// What signs from now on.
    pub fn current(&self) -> Arc<SigningKeyInUse> {
        self.ring().current.clone()
    }

    /// A key of this server as others see it, to check events that come back.
    pub(super) fn for_checks(&self, id: &str, now: Millis) -> Option<ServerKey> {
        let ring = self.ring();
        if ring.current.key_id == id {
            let valid_until = now.plus(LONGEST_VALIDITY);
            return Some(ServerKey::new(
                ring.current.key.verifying_key(),
                valid_until,
                None,
            ));
        }
        let replaced = ring.replaced.iter().find(|key| key.id == id)?;
        let public = public_key(&replaced.public)?;
        Some(ServerKey::new(
            public,
            replaced.expired,
            Some(replaced.expired),
        ))
    }

    /// The JSON of `GET /_matrix/key/v2/server`.
    pub fn document(&self, clock: &dyn Clock) -> Arc<str> {
        let now = clock.now();
        let mut published = self.published();
        if let Some(published) = published
            .as_ref()
            .filter(|published| published.is_fresh(now))
        {
            return published.json.clone();
        }
        let ring = self.ring();
        let made = Published::make(&ring.current, &ring.replaced, now);
        let json = made.json.clone();
        *published = Some(made);
        json
    }

    fn ring(&self) -> Arc<Ring> {
        self.0
            .ring
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn published(&self) -> std::sync::MutexGuard<'_, Option<Published>> {
        self.0
            .published
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    fn of(server_name: &ServerName, known: Vec<(String, StoredKey)>) -> Result<Self, StoreError> {
        let mut replaced = Vec::new();
        let mut in_use: Option<(String, StoredKey)> = None;
        for (id, key) in known {
            match key.replaced {
                Some(expired) => replaced.push(ReplacedKey {
                    id,
                    public: SigningKey::from_bytes(&key.seed).verifying_key().to_bytes(),
                    expired: Millis(expired),
                }),
                None if in_use
                    .as_ref()
                    .is_none_or(|(_, other)| other.created <= key.created) =>
                {
                    in_use = Some((id, key));
                }
                None => {}
            }
        }
        let (key_id, stored) = in_use.ok_or(StoreError::Corrupt("signing key"))?;
        Ok(Self {
            current: Arc::new(SigningKeyInUse {
                server_name: server_name.to_owned(),
                key_id,
                key: SigningKey::from_bytes(&stored.seed),
            }),
            replaced,
        })
    }
}

fn make(random: &dyn Random, clock: &dyn Clock) -> (String, StoredKey) {
    let mut seed = [0; 32];
    random.fill(&mut seed);
    let id = format!("ed25519:a_{}", random.token(6));
    let key = StoredKey {
        seed,
        created: clock.now().0,
        replaced: None,
    };
    (id, key)
}

impl SigningKeyInUse {
    /// As others verify with.
    pub fn public(&self) -> [u8; 32] {
        self.key.verifying_key().to_bytes()
    }
}

impl Signer for SigningKeyInUse {
    fn server_name(&self) -> &ServerName {
        &self.server_name
    }

    fn key_id(&self) -> &str {
        &self.key_id
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for SigningKeyInUse {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SigningKeyInUse")
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Keys")
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use database::{MockClock, SeededRandom};

    use super::*;
    use crate::keys::KeyDocument;

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
        let first = open(&store, 1).await.current();
        let second = open(&store, 2).await.current();

        assert_eq!(first.key_id(), second.key_id());
        assert_eq!(first.sign(b"hello"), second.sign(b"hello"));
    }

    #[tokio::test]
    async fn a_rotated_key_stays_published_and_signs_no_more() {
        let store = Store::memory();
        let clock = MockClock::default();
        let keys = open(&store, 1).await;
        let old = keys.current();
        let before = keys.document(&clock);

        let new_id = keys
            .rotate(&store, &SeededRandom::new(2), &clock)
            .await
            .expect("a commit");

        let new = keys.current();
        assert_eq!(new.key_id(), new_id);
        assert_ne!(new.public(), old.public());
        assert_ne!(keys.document(&clock), before);
        let expired = clock.now().plus(GRACE);
        let old_key = keys
            .for_checks(old.key_id(), clock.now())
            .expect("it is kept");
        assert!(!old_key.is_valid_for_requests(clock.now()));
        let reopened = open(&store, 3).await;
        assert_eq!(reopened.current().key_id(), new_id);
        let document = reopened.document(&clock);
        let document = KeyDocument::check(&document, keys.server_name()).expect("it is valid");
        let published: Vec<_> = document.keys().map(|key| (key.id, key.expired)).collect();
        assert_eq!(
            published,
            [(new_id.as_str(), None), (old.key_id(), Some(expired))]
        );
    }

    #[tokio::test]
    async fn a_document_is_valid_for_a_day_and_renewed_in_time() {
        let clock = MockClock::default();
        let keys = open(&Store::memory(), 1).await;
        let valid_until = |document: &str| {
            KeyDocument::check(document, keys.server_name())
                .expect("it is valid")
                .valid_until()
        };
        let day = Duration::from_hours(24);
        assert_eq!(valid_until(&keys.document(&clock)), clock.now().plus(day));
        for _ in 0..100 {
            clock.advance(Duration::from_mins(17));
            let left = valid_until(&keys.document(&clock)).since(clock.now());
            assert!(left >= Duration::from_hours(12), "{left:?}");
        }
    }

    #[tokio::test]
    async fn a_signature_verifies_with_the_public_key() {
        let key = open(&Store::memory(), 1).await.current();
        let public = ed25519_dalek::VerifyingKey::from_bytes(&key.public()).expect("a key");
        let signature = ed25519_dalek::Signature::from_bytes(&key.sign(b"message"));
        assert!(public.verify_strict(b"message", &signature).is_ok());
        assert!(public.verify_strict(b"other", &signature).is_err());
    }

    #[tokio::test]
    async fn nothing_of_the_key_is_printed() {
        let keys = open(&Store::memory(), 1).await;

        assert!(!format!("{keys:?}").contains("seed"));
        assert!(!format!("{keys:?}").contains("SigningKey {"));
    }
}
