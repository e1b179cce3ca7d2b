//! Passwords and their hashes: argon2id, off the async threads, few at once.
//!
//! The cost is the one of OWASP's equally strong choices with the least memory: 7 MiB, 5 passes, 1
//! lane. Hashing uses at most `AT_ONCE` times that memory and `AT_ONCE` threads, however many
//! people log in.

use std::{fmt, sync::Arc};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc},
};
use database::{Random, StoreError};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::error::{LoginError, RegisterError};

/// Passwords that are hashed at the same time.
const AT_ONCE: usize = 2;
/// Passwords that wait or are hashed; further ones are refused.
const QUEUE: usize = 1024;
/// Longer passwords are refused: they would only cost time.
const PASSWORD_BYTES: usize = 4096;
const SALT_BYTES: usize = 16;

/// The cost of one hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashing {
    memory_kib: u32,
    passes: u32,
}

impl Hashing {
    /// For real accounts.
    pub const fn owasp() -> Self {
        Self {
            memory_kib: 7 * 1024,
            passes: 5,
        }
    }

    /// Insecure: for tests that create many accounts.
    pub const fn weak_for_tests() -> Self {
        Self {
            memory_kib: 8,
            passes: 1,
        }
    }
}

/// A password in plain text. Never empty, never printed.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// `None` for one that is empty or longer than 4 KiB.
    pub fn new(text: String) -> Option<Self> {
        (!text.is_empty() && text.len() <= PASSWORD_BYTES).then_some(Self(text))
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A PHC string, such as `$argon2id$v=19$m=7168,t=5,p=1$salt$hash`. Never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PasswordHash(pub(crate) String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Why a password was not hashed.
#[derive(Debug)]
pub(crate) enum HashError {
    Busy,
    /// The hashing itself failed: out of memory, or the process is ending.
    Failed(String),
}

impl From<HashError> for RegisterError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Failed(reason) => Self::Store(StoreError::Unavailable(reason)),
        }
    }
}

impl From<HashError> for LoginError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Failed(reason) => Self::Store(StoreError::Unavailable(reason)),
        }
    }
}

/// Hashes and checks passwords.
pub(crate) struct Passwords {
    hashing: Hashing,
    random: Arc<dyn Random>,
    tasks: TaskTracker,
    queue: Arc<Semaphore>,
    turns: Arc<Semaphore>,
}

impl Passwords {
    pub(crate) fn new(hashing: Hashing, random: Arc<dyn Random>, tasks: TaskTracker) -> Self {
        Self {
            hashing,
            random,
            tasks,
            queue: Arc::new(Semaphore::new(QUEUE)),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    pub(crate) async fn hash(&self, password: &Password) -> Result<PasswordHash, HashError> {
        let (hashing, password, salt) = (self.hashing, password.clone(), self.salt());
        self.run(move || hash(hashing, &password, &salt)).await
    }

    /// Takes the same time if there is no hash to compare with.
    pub(crate) async fn verify(
        &self,
        stored: Option<PasswordHash>,
        password: &Password,
    ) -> Result<bool, HashError> {
        let (hashing, password, salt) = (self.hashing, password.clone(), self.salt());
        self.run(move || match stored {
            Some(stored) => Ok(matches(hashing, &stored, &password)),
            None => hash(hashing, &password, &salt).map(|_| false),
        })
        .await
    }

    fn salt(&self) -> [u8; SALT_BYTES] {
        let mut salt = [0; SALT_BYTES];
        self.random.fill(&mut salt);
        salt
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, HashError> {
        let _place = self.queue.try_acquire().map_err(|_| HashError::Busy)?;
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|error| HashError::Failed(error.to_string()))?;
        // The permit moves along: it is released when the work ends, even if the request is
        // cancelled.
        let work = self.tasks.spawn_blocking(move || {
            let result = work();
            drop(turn);
            result
        });
        match work.await {
            Ok(result) => result.map_err(HashError::Failed),
            Err(error) => Err(HashError::Failed(error.to_string())),
        }
    }
}

fn argon2(hashing: Hashing) -> Result<Argon2<'static>, String> {
    let params = Params::new(hashing.memory_kib, hashing.passes, 1, None);
    let params = params.map_err(|error| error.to_string())?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(hashing: Hashing, password: &Password, salt: &[u8]) -> Result<PasswordHash, String> {
    let hash: phc::PasswordHash = argon2(hashing)?
        .hash_password_with_salt(password.0.as_bytes(), salt)
        .map_err(|error| error.to_string())?;
    Ok(PasswordHash(hash.to_string()))
}

/// Uses the cost of the stored hash, so that changing `Hashing` invalidates no password.
fn matches(hashing: Hashing, stored: &PasswordHash, password: &Password) -> bool {
    let (Ok(argon2), Ok(stored)) = (argon2(hashing), phc::PasswordHash::new(&stored.0)) else {
        return false;
    };
    argon2
        .verify_password(password.0.as_bytes(), &stored)
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned()).expect("not empty")
    }

    #[test]
    fn a_hash_matches_its_password_and_no_other() {
        let weak = Hashing::weak_for_tests();
        let stored = hash(weak, &password("übers3kr1t"), &[7; SALT_BYTES]).expect("it hashes");
        assert!(matches(weak, &stored, &password("übers3kr1t")));
        assert!(!matches(weak, &stored, &password("ubers3kr1t")));
    }

    #[test]
    fn a_hash_of_another_cost_still_matches() {
        let stored = hash(
            Hashing {
                memory_kib: 16,
                passes: 2,
            },
            &password("a"),
            &[7; SALT_BYTES],
        );
        assert!(matches(
            Hashing::weak_for_tests(),
            &stored.expect("it hashes"),
            &password("a")
        ));
    }

    #[test]
    fn passwords_are_neither_empty_nor_endless_nor_printed() {
        assert!(Password::new(String::new()).is_none());
        assert!(Password::new("x".repeat(PASSWORD_BYTES + 1)).is_none());
        assert_eq!(format!("{:?}", password("secret")), "Password(..)");
    }
}
