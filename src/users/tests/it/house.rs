//! Users on the memory engine, with a mock clock and a fixed seed.

use std::sync::Arc;

use database::{
    Memory, MockClock, Random, Read, SeededRandom, Snapshot, Store, Txn, UserNumber, memory::Faults,
};
use ruma::{OwnedUserId, server_name};
use tokio_util::task::TaskTracker;
use users::{
    Authenticated, Hashing, LoggedIn, NewAccount, NewDevice, NewSession, Password, Registered,
    Registration, Users, UsersConfig,
};

pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) struct House {
    pub(crate) users: Users,
    pub(crate) clock: Arc<MockClock>,
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) tasks: TaskTracker,
    memory: Memory,
    seed: u64,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(Registration::Open)
    }

    pub(crate) fn with(registration: Registration) -> Self {
        Self::on(Memory::new(), registration, 1)
    }

    /// A second process on the same database, with empty caches.
    pub(crate) fn restarted(&self) -> Self {
        Self::on(
            self.memory.clone(),
            self.users.registration().clone(),
            self.seed + 1,
        )
    }

    fn on(memory: Memory, registration: Registration, seed: u64) -> Self {
        let clock = Arc::new(MockClock::default());
        let store = Store::new(Arc::new(memory.clone()));
        let tasks = TaskTracker::new();
        let config = UsersConfig {
            registration,
            hashing: Hashing::weak_for_tests(),
            ..UsersConfig::new(server_name!("example.org").to_owned())
        };
        let random: Arc<dyn Random> = Arc::new(SeededRandom::new(seed));
        let users = Users::new(store.clone(), clock.clone(), random, config, tasks.clone());
        Self {
            users,
            clock,
            store,
            faults: memory.faults(),
            tasks,
            memory,
            seed,
        }
    }

    /// Registers a user and logs in.
    pub(crate) async fn user(&self, name: &str) -> Person {
        let Registered {
            user_id,
            number,
            session,
        } = self
            .users
            .register(new_account(&self.users, name))
            .await
            .expect("it registers");
        Person {
            user_id,
            number,
            session: session.expect("it logs in"),
        }
    }

    pub(crate) async fn login(&self, name: &str) -> LoggedIn {
        self.login_with(name, NewDevice::default()).await
    }

    pub(crate) async fn login_with(&self, name: &str, device: NewDevice) -> LoggedIn {
        self.users
            .login(name, &password(PASSWORD), &device)
            .await
            .expect("it logs in")
    }

    pub(crate) async fn snapshot(&self) -> Snapshot {
        self.store.snapshot().await.expect("there is a snapshot")
    }

    pub(crate) async fn device_ids(&self, user: UserNumber) -> Vec<String> {
        let devices = devices::list(&self.snapshot().await, user)
            .await
            .expect("it reads");
        devices.into_iter().map(|entry| entry.id).collect()
    }

    /// The user and device of a token.
    pub(crate) async fn owner(&self, token: &str) -> Option<Authenticated> {
        self.users.authenticate(token).await.ok()
    }
}

pub(crate) struct Person {
    pub(crate) user_id: OwnedUserId,
    pub(crate) number: UserNumber,
    pub(crate) session: NewSession,
}

impl Person {
    pub(crate) fn token(&self) -> String {
        token(&self.session)
    }
}

pub(crate) fn token(session: &NewSession) -> String {
    session.access_token.clone().reveal()
}

pub(crate) fn password(text: &str) -> Password {
    Password::new(text.to_owned()).expect("not empty")
}

pub(crate) fn new_account(users: &Users, name: &str) -> NewAccount {
    NewAccount {
        user_id: users.wanted_name(name).expect("a good name"),
        password: Some(password(PASSWORD)),
        is_admin: false,
        device: Some(NewDevice::default()),
    }
}

pub(crate) fn device(id: &str) -> NewDevice {
    NewDevice {
        id: Some(id.into()),
        ..NewDevice::default()
    }
}

/// Every row of the tables that hold tokens.
pub(crate) async fn count_of_tokens(db: &impl Read) -> (usize, usize, usize) {
    use users::tables::{ACCESS_TOKENS, REFRESH_TOKENS, SESSIONS};
    let access = db
        .page(ACCESS_TOKENS.all(), 1000)
        .await
        .expect("it reads")
        .len();
    let refresh = db
        .page(REFRESH_TOKENS.all(), 1000)
        .await
        .expect("it reads")
        .len();
    let sessions = db.page(SESSIONS.all(), 1000).await.expect("it reads").len();
    (access, refresh, sessions)
}

/// Runs one commit that cannot fail.
pub(crate) async fn commit<F>(store: &Store, body: impl Fn(Txn) -> F)
where
    F: Future<Output = Result<(), database::StoreError>> + Send,
{
    store.transact(body).await.expect("it commits");
}
