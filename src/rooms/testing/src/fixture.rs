//! A server without anything above its rooms, and people who use it.

use std::sync::Arc;

use database::{Clock, Memory, Millis, MockClock, Random, Read, SeededRandom, Store};
use federation::Keys;
use rooms_directory::RoomDirectory;
use rooms_history::History;
use rooms_store::{Event, Membership, RoomError, RoomStore, RoomStoreConfig, tables::TIMELINE};
use rooms_writer::{
    Change, CreateRoom, MembershipRequest, Message, Preset, RoomWriter, Sent, State, TransactionId,
    Visibility, WriterConfig,
};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, RoomVersionId, UserId};
use serde_json::{Map, Value, value::RawValue};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::{Hashing, Password, Users, UsersConfig};

/// What a test may want otherwise.
#[derive(Clone, Debug)]
pub struct Settings {
    pub server_name: OwnedServerName,
    pub seed: u64,
    pub default_version: RoomVersionId,
    pub users: UsersConfig,
    /// Bytes of memory for events, and the same for state nodes.
    pub cache_bytes: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self::named("example.org")
    }
}

impl Settings {
    /// The usual settings of a server with this name.
    ///
    /// # Panics
    ///
    /// Where it is not a server name.
    pub fn named(server_name: &str) -> Self {
        let server_name = OwnedServerName::try_from(server_name).expect("a server name");
        let mut users = UsersConfig::new(server_name.clone());
        users.hashing = Hashing::weak_for_tests();
        Self {
            server_name,
            seed: 7,
            default_version: RoomVersionId::V12,
            users,
            cache_bytes: 1 << 20,
        }
    }
}

/// The handles of a server up to its room directory, built as the real server builds them.
pub struct Handles {
    pub users: Users,
    pub rooms: RoomStore,
    pub history: History,
    pub writer: RoomWriter,
    pub directory: RoomDirectory,
    pub keys: Keys,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
}

impl Handles {
    pub async fn open(
        store: Store,
        settings: &Settings,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let users = Users::new(
            store.clone(),
            clock.clone(),
            random.clone(),
            settings.users.clone(),
            tasks.clone(),
        );
        let keys = Keys::open(&store, &*random, &*clock, settings.server_name.clone())
            .await
            .expect("keys are made");
        let config = RoomStoreConfig {
            server_name: settings.server_name.clone(),
            event_cache_bytes: settings.cache_bytes,
            node_cache_bytes: settings.cache_bytes,
        };
        let rooms = RoomStore::open(store, users.clone(), config);
        let history = History::new(rooms.clone(), clock.clone());
        let config = WriterConfig {
            default_version: settings.default_version.clone(),
            ..WriterConfig::default()
        };
        let writer = RoomWriter::open(
            rooms.clone(),
            clock,
            random,
            keys.clone(),
            config,
            tasks.clone(),
            stop.clone(),
        );
        let directory = RoomDirectory::new(history.clone(), writer.clone());
        Self {
            users,
            rooms,
            history,
            writer,
            directory,
            keys,
            tasks,
            stop,
        }
    }
}

/// The rooms of a server, from the store to the directory.
pub struct TestRooms {
    pub store: Store,
    pub clock: Arc<MockClock>,
    pub random: Arc<SeededRandom>,
    pub users: Users,
    pub rooms: RoomStore,
    pub history: History,
    pub writer: RoomWriter,
    pub directory: RoomDirectory,
    pub keys: Keys,
    pub tasks: TaskTracker,
    pub stop: CancellationToken,
    /// The engine, for injecting faults; `None` where the caller brought its own store.
    pub memory: Option<Memory>,
}

impl TestRooms {
    /// On an empty memory engine, with the default settings.
    pub async fn new() -> Self {
        Self::on(Memory::new()).await
    }

    /// On a memory engine that may hold data already: what a restart is.
    pub async fn on(memory: Memory) -> Self {
        let store = Store::new(Arc::new(memory.clone()));
        let mut rooms = Self::open(store, &Settings::default()).await;
        rooms.memory = Some(memory);
        rooms
    }

    /// On any store.
    pub async fn open(store: Store, settings: &Settings) -> Self {
        let clock = Arc::new(MockClock::default());
        clock.set(Millis(1_700_000_000_000));
        Self::open_with(store, settings, clock).await
    }

    /// With a clock that servers share.
    pub async fn open_with(store: Store, settings: &Settings, clock: Arc<MockClock>) -> Self {
        let random = Arc::new(SeededRandom::new(settings.seed));
        let handles = Handles::open(store.clone(), settings, clock.clone(), random.clone()).await;
        let Handles {
            users,
            rooms,
            history,
            writer,
            directory,
            keys,
            tasks,
            stop,
        } = handles;
        Self {
            store,
            clock,
            random,
            users,
            rooms,
            history,
            writer,
            directory,
            keys,
            tasks,
            stop,
            memory: None,
        }
    }

    /// The engine, for injecting faults.
    ///
    /// # Panics
    ///
    /// Where the caller brought its own store.
    pub fn memory(&self) -> &Memory {
        self.memory.as_ref().expect("a server on the memory engine")
    }

    pub async fn person(&self, name: &str) -> OwnedUserId {
        let password = Password::new("correct horse battery".to_owned()).expect("a password");
        self.users
            .create(name, password, false)
            .await
            .expect("a new user")
    }

    pub async fn people<const N: usize>(&self, names: [&str; N]) -> [OwnedUserId; N] {
        let mut people = Vec::new();
        for name in names {
            people.push(self.person(name).await);
        }
        people.try_into().expect("as many people as names")
    }

    pub async fn public_room(&self, creator: &UserId) -> OwnedRoomId {
        self.writer
            .create_room(asked(creator, Preset::PublicChat))
            .await
            .expect("a new room")
    }

    pub async fn change(
        &self,
        room: &RoomId,
        by: &UserId,
        target: &UserId,
        change: Change,
    ) -> Result<(), RoomError> {
        let request = MembershipRequest::of(by.to_owned(), target.to_owned(), change);
        self.writer.change_membership(room, request).await
    }

    pub async fn join(&self, room: &RoomId, user: &UserId) -> Result<(), RoomError> {
        self.change(room, user, user, Change::Join).await
    }

    pub async fn say(&self, room: &RoomId, user: &UserId, text: &str) -> Result<Sent, RoomError> {
        self.writer.send(room, message(user, text)).await
    }

    pub async fn set(
        &self,
        room: &RoomId,
        user: &UserId,
        kind: &str,
        state_key: &str,
        content: Value,
    ) -> Result<Sent, RoomError> {
        let state = State {
            sender: user.to_owned(),
            kind: kind.to_owned(),
            state_key: state_key.to_owned(),
            content: raw(&content),
            timestamp: None,
        };
        self.writer.set_state(room, state).await
    }

    /// All events of a room, oldest first.
    pub async fn timeline(&self, room_id: &RoomId) -> Vec<Arc<Event>> {
        let db = self.rooms.snapshot().await.expect("a snapshot");
        let room = self.rooms.require(&db, room_id).await.expect("a room");
        let rows = db.page(TIMELINE.under(room), 10_000).await.expect("rows");
        let numbers: Vec<_> = rows.into_iter().map(|(_, number)| number).collect();
        self.rooms
            .named_events(&db, room, &numbers)
            .await
            .expect("events")
    }

    pub async fn membership(&self, room_id: &RoomId, user: &UserId) -> Option<Membership> {
        let db = self.rooms.snapshot().await.expect("a snapshot");
        let room = self.rooms.require(&db, room_id).await.expect("a room");
        let user = self.users.number(&db, user).await.expect("a read")?;
        let member = self.rooms.member(&db, room, user).await.expect("a read");
        member.map(|member| member.membership)
    }

    /// The content of a piece of current state.
    pub async fn state(&self, room_id: &RoomId, kind: &str, key: &str) -> Option<Value> {
        let db = self.rooms.snapshot().await.expect("a snapshot");
        let room = self.rooms.require(&db, room_id).await.expect("a room");
        let root = self.rooms.head(&db, room).await.expect("a head").state;
        let event = self
            .rooms
            .state_event(&db, room, root, kind, key)
            .await
            .expect("a read")?;
        Some(serde_json::from_str(event.content()).expect("JSON"))
    }
}

pub fn message(user: &UserId, text: &str) -> Message {
    Message {
        sender: user.to_owned(),
        kind: "m.room.message".to_owned(),
        content: raw(&serde_json::json!({ "msgtype": "m.text", "body": text })),
        transaction: None,
        timestamp: None,
    }
}

pub fn transaction(device: &str, id: &str) -> TransactionId {
    TransactionId {
        device: device.into(),
        id: id.to_owned(),
    }
}

pub fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("JSON")
}

/// A creation that asks for nothing but a preset.
pub fn asked(creator: &UserId, preset: Preset) -> CreateRoom {
    CreateRoom {
        creator: creator.to_owned(),
        version: None,
        preset: Some(preset),
        visibility: Visibility::Private,
        alias_localpart: None,
        name: None,
        topic: None,
        invite: Vec::new(),
        is_direct: false,
        creation_content: Map::new(),
        initial_state: Vec::new(),
        power_levels: Map::new(),
    }
}
