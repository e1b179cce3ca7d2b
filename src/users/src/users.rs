//! The handle of this crate, and the numbers of users.

use std::{
    future::Future,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use database::{Clock, Interner, Random, Read, Snapshot, Store, StoreError, Txn, UserNumber};
use protocol::push::BodyMentions;
use ruma::{OwnedServerName, OwnedUserId, ServerName, UserId};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use crate::{
    account_data::{AccountDataLimits, IgnoredCache},
    accounts::{Hashing, Passwords},
    filters::FilterCache,
    interactive::Conversations,
    sessions::{SeenBacklog, TokenCache},
    tables::{USER_IDS, USER_NUMBERS},
};

/// The operator's settings for accounts.
#[derive(Clone, Debug)]
pub struct UsersConfig {
    pub server_name: OwnedServerName,
    pub registration: Registration,
    pub hashing: Hashing,
    /// Bytes of memory for recently used access tokens.
    pub token_cache_bytes: u64,
    /// The lifetime of access tokens of clients that can refresh them.
    pub access_token_lifetime: Duration,
    /// Whether names in bodies are mentions.
    pub body_mentions: BodyMentions,
    pub account_data: AccountDataLimits,
    /// Devices that one user may have.
    pub devices: usize,
}

/// Who may create an account through the client-server API.
#[derive(Clone, PartialEq, Eq)]
pub enum Registration {
    Open,
    /// Anybody with this token.
    Token(String),
    Closed,
}

impl std::fmt::Debug for Registration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "Open",
            Self::Token(_) => "Token(..)",
            Self::Closed => "Closed",
        })
    }
}

impl UsersConfig {
    /// Closed to registration, with the recommended cost of hashing.
    pub fn new(server_name: OwnedServerName) -> Self {
        Self {
            server_name,
            registration: Registration::Closed,
            hashing: Hashing::owasp(),
            token_cache_bytes: 4 * 1024 * 1024,
            access_token_lifetime: Duration::from_hours(1),
            body_mentions: BodyMentions::Ignored,
            account_data: AccountDataLimits::default(),
            devices: 1_000,
        }
    }
}

/// All users of this server. Cheap to clone.
#[derive(Clone)]
pub struct Users(pub(crate) Arc<Parts>);

/// The shared state behind the handle.
pub(crate) struct Parts {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) config: UsersConfig,
    pub(crate) tasks: TaskTracker,
    pub(crate) numbers: Interner<UserNumber>,
    pub(crate) passwords: Passwords,
    pub(crate) tokens: TokenCache,
    pub(crate) ignored: IgnoredCache,
    pub(crate) filters: FilterCache,
    pub(crate) conversations: Conversations,
    /// Uses of devices that are not recorded yet.
    pub(crate) seen: Mutex<SeenBacklog>,
    /// Counts the commits that added a job.
    pub(crate) jobs: watch::Sender<u64>,
    pub(crate) ended_devices: OnceLock<OnEndedDevices>,
}

/// Called with a user, and with a function that returns whether a device of the user has ended.
pub type OnEndedDevices = Box<dyn Fn(UserNumber, &dyn Fn(&str) -> bool) + Send + Sync>;

impl Users {
    pub fn new(
        store: Store,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        config: UsersConfig,
        tasks: TaskTracker,
    ) -> Self {
        Self(Arc::new(Parts {
            numbers: Interner::new(&store, &USER_NUMBERS, &USER_IDS, "users"),
            passwords: Passwords::new(config.hashing, random.clone(), tasks.clone()),
            tokens: TokenCache::new(config.token_cache_bytes),
            ignored: IgnoredCache::default(),
            filters: FilterCache::default(),
            conversations: Conversations::default(),
            seen: Mutex::default(),
            jobs: watch::Sender::new(0),
            ended_devices: OnceLock::new(),
            store,
            clock,
            random,
            config,
            tasks,
        }))
    }

    /// A snapshot of the current data.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.0.store.snapshot().await
    }

    pub fn server_name(&self) -> &ServerName {
        &self.0.config.server_name
    }

    pub fn registration(&self) -> &Registration {
        &self.0.config.registration
    }

    pub fn is_local(&self, user_id: &UserId) -> bool {
        user_id.server_name() == self.0.config.server_name
    }

    /// The number of a user id, assigned now if it has none.
    pub async fn intern(&self, txn: &Txn, user_id: &str) -> Result<UserNumber, StoreError> {
        self.0.numbers.intern(txn, user_id).await
    }

    pub async fn find_number(
        &self,
        db: &impl Read,
        user_id: &str,
    ) -> Result<Option<UserNumber>, StoreError> {
        self.0.numbers.find(db, user_id).await
    }

    pub async fn number(
        &self,
        db: &impl Read,
        user_id: &UserId,
    ) -> Result<Option<UserNumber>, StoreError> {
        self.0.numbers.find(db, user_id.as_str()).await
    }

    /// The user id of a number, as text.
    pub async fn text(
        &self,
        db: &impl Read,
        user: UserNumber,
    ) -> Result<Option<Arc<str>>, StoreError> {
        self.0.numbers.text(db, user).await
    }

    /// The user ids of many numbers, in their order, with one read.
    pub async fn texts(
        &self,
        db: &impl Read,
        users: &[UserNumber],
    ) -> Result<Vec<Option<Arc<str>>>, StoreError> {
        self.0.numbers.texts(db, users).await
    }

    pub async fn user_id(
        &self,
        db: &impl Read,
        user: UserNumber,
    ) -> Result<Option<OwnedUserId>, StoreError> {
        let Some(text) = self.text(db, user).await? else {
            return Ok(None);
        };
        OwnedUserId::try_from(&*text)
            .map(Some)
            .map_err(|_| StoreError::Corrupt("user_ids holds what is no user id"))
    }

    /// Runs `work` to its end even if its request is cancelled, because a commit must also
    /// invalidate the caches.
    pub(crate) async fn finish<T, E>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match self.0.tasks.spawn(work).await {
            Ok(result) => result,
            Err(error) => Err(StoreError::Unavailable(error.to_string()).into()),
        }
    }
}
