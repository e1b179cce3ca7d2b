//! A house with nothing above the rooms, and people who live in it.

use std::sync::Arc;

use database::{Memory, Millis, MockClock, Read, SeededRandom, Store};
use federation::Keys;
use rooms::{
    Change, CreateRoom, Event, Membership, MembershipRequest, Message, Preset, RoomError, Rooms,
    RoomsConfig, Sent, State, TransactionId, Visibility, tables::TIMELINE,
};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId};
use serde_json::{Map, Value, value::RawValue};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::{Hashing, Password, Users, UsersConfig};

pub(crate) struct House {
    pub(crate) rooms: Rooms,
    pub(crate) users: Users,
    pub(crate) memory: Memory,
    pub(crate) clock: Arc<MockClock>,
}

impl House {
    pub(crate) async fn new() -> Self {
        let memory = Memory::new();
        Self::on(memory).await
    }

    /// A house on a database that may have been lived in: what a restart is.
    pub(crate) async fn on(memory: Memory) -> Self {
        let store = Store::new(Arc::new(memory.clone()));
        let clock = Arc::new(MockClock::default());
        clock.set(Millis(1_700_000_000_000));
        let random = Arc::new(SeededRandom::new(7));
        let server_name = OwnedServerName::try_from("example.org").expect("a server name");
        let tasks = TaskTracker::new();
        let mut config = UsersConfig::new(server_name.clone());
        config.hashing = Hashing::weak_for_tests();
        let users = Users::new(
            store.clone(),
            clock.clone(),
            random.clone(),
            config,
            tasks.clone(),
        );
        let keys = Keys::open(&store, &*random, &*clock, server_name.clone())
            .await
            .expect("keys");
        let config = RoomsConfig {
            event_cache_bytes: 1 << 20,
            node_cache_bytes: 1 << 20,
            ..RoomsConfig::new(server_name)
        };
        let stop = CancellationToken::new();
        let rooms = Rooms::open(
            store,
            clock.clone(),
            random,
            users.clone(),
            keys,
            config,
            tasks,
            stop,
        );
        Self {
            rooms,
            users,
            memory,
            clock,
        }
    }

    pub(crate) async fn person(&self, name: &str) -> OwnedUserId {
        let password = Password::new("correct horse battery".to_owned()).expect("a password");
        self.users
            .create(name, password, false)
            .await
            .expect("a new user")
    }

    pub(crate) async fn people<const N: usize>(&self, names: [&str; N]) -> [OwnedUserId; N] {
        let mut people = Vec::new();
        for name in names {
            people.push(self.person(name).await);
        }
        people.try_into().expect("as many people as names")
    }

    pub(crate) async fn public_room(&self, creator: &UserId) -> OwnedRoomId {
        self.rooms
            .create_room(asked(creator, Preset::PublicChat))
            .await
            .expect("a new room")
    }

    pub(crate) async fn change(
        &self,
        room: &RoomId,
        by: &UserId,
        target: &UserId,
        change: Change,
    ) -> Result<(), RoomError> {
        let request = MembershipRequest::of(by.to_owned(), target.to_owned(), change);
        self.rooms.change_membership(room, request).await
    }

    pub(crate) async fn join(&self, room: &RoomId, user: &UserId) -> Result<(), RoomError> {
        self.change(room, user, user, Change::Join).await
    }

    pub(crate) async fn say(
        &self,
        room: &RoomId,
        user: &UserId,
        text: &str,
    ) -> Result<Sent, RoomError> {
        self.rooms.send(room, message(user, text)).await
    }

    pub(crate) async fn set(
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
        self.rooms.set_state(room, state).await
    }

    /// All events of a room, oldest first.
    pub(crate) async fn timeline(&self, room_id: &RoomId) -> Vec<Arc<Event>> {
        let db = self.rooms.snapshot().await.expect("a snapshot");
        let room = self.rooms.require(&db, room_id).await.expect("a room");
        let rows = db.page(TIMELINE.under(room), 10_000).await.expect("rows");
        let numbers: Vec<_> = rows.into_iter().map(|(_, number)| number).collect();
        self.rooms
            .named_events(&db, room, &numbers)
            .await
            .expect("events")
    }

    pub(crate) async fn membership(&self, room_id: &RoomId, user: &UserId) -> Option<Membership> {
        let db = self.rooms.snapshot().await.expect("a snapshot");
        let room = self.rooms.require(&db, room_id).await.expect("a room");
        let user = self.users.number(&db, user).await.expect("a read")?;
        let member = self.rooms.member(&db, room, user).await.expect("a read");
        member.map(|member| member.membership)
    }

    /// The content of a piece of current state.
    pub(crate) async fn state(&self, room_id: &RoomId, kind: &str, key: &str) -> Option<Value> {
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

pub(crate) fn message(user: &UserId, text: &str) -> Message {
    Message {
        sender: user.to_owned(),
        kind: "m.room.message".to_owned(),
        content: raw(&serde_json::json!({ "msgtype": "m.text", "body": text })),
        transaction: None,
        timestamp: None,
    }
}

pub(crate) fn transaction(device: &str, id: &str) -> TransactionId {
    TransactionId {
        device: device.into(),
        id: id.to_owned(),
    }
}

pub(crate) fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("JSON")
}

/// A creation that asks for nothing but a preset.
pub(crate) fn asked(creator: &UserId, preset: Preset) -> CreateRoom {
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
