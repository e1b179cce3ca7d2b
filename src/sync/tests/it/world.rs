//! A server in memory, and people on it.

use std::{sync::Arc, time::Duration};

use database::{Millis, MockClock, SeededRandom, Store, UserNumber};
use devices::{
    Device, Devices, Limits,
    keys::{DeviceKeys, KeyUpload},
    to_device::{self, Recipient, Target},
};
use presence::{Presence, PresenceConfig, SetPresence};
use protocol::push::BodyMentions;
use push::{Push, PushConfig};
use rooms_history::{History, Markers};
use rooms_store::{RoomError, RoomStore};
use rooms_testing::Handles;
use rooms_writer::{
    Change, CreateRoom, InitialState, MembershipRequest, Message, Preset, Redaction, RoomWriter,
    State, TransactionId, Visibility,
};
use ruma::{
    OwnedDeviceId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId,
    api::client::filter::FilterDefinition,
};
use serde_json::{Map, Value, json, value::RawValue};
use sync::{Filter, StateAfter, Sync, SyncConfig, SyncError, SyncNeeds, SyncRequest};
use tokio_util::sync::CancellationToken;
use users::{NewAccount, NewDevice, Users};

pub(crate) struct World {
    store: Store,
    pub(crate) users: Users,
    pub(crate) rooms: RoomStore,
    pub(crate) history: History,
    pub(crate) writer: RoomWriter,
    pub(crate) devices: Devices,
    pub(crate) clock: Arc<MockClock>,
    pub(crate) presence: Presence,
    pub(crate) sync: Sync,
    pub(crate) stop: CancellationToken,
    settings: Settings,
}

/// What a test may want otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) body_mentions: BodyMentions,
    pub(crate) push: PushConfig,
    /// Disabled unless a test is about it: it wakes clients.
    pub(crate) presence: PresenceConfig,
}

pub(crate) const NO_PRESENCE: PresenceConfig = PresenceConfig {
    enabled: false,
    idle_after: Duration::from_mins(5),
    offline_after: Duration::from_secs(30),
};

const NEW_DEVICE: Device = Device {
    display_name: None,
    created: 0,
};

#[derive(Clone)]
pub(crate) struct Person {
    world: Arc<World>,
    pub(crate) user_id: OwnedUserId,
    pub(crate) number: UserNumber,
    pub(crate) device: OwnedDeviceId,
}

/// How a client asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    pub(crate) since: Option<String>,
    pub(crate) filter: Value,
    pub(crate) full_state: bool,
    pub(crate) state_after: StateAfter,
    pub(crate) timeout: Duration,
    pub(crate) set_presence: SetPresence,
    pub(crate) online: bool,
}

impl Ask {
    pub(crate) fn since(since: &str) -> Self {
        Self {
            since: Some(since.to_owned()),
            ..Self::default()
        }
    }

    pub(crate) fn filter(mut self, filter: Value) -> Self {
        self.filter = filter;
        self
    }

    pub(crate) fn waiting(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl World {
    pub(crate) async fn new() -> Arc<Self> {
        Self::seeded(1).await
    }

    pub(crate) async fn seeded(seed: u64) -> Arc<Self> {
        Self::with(Settings {
            seed,
            body_mentions: BodyMentions::Ignored,
            push: PushConfig::default(),
            presence: NO_PRESENCE,
        })
        .await
    }

    pub(crate) async fn with(settings: Settings) -> Arc<Self> {
        Self::open(Store::memory(), settings).await
    }

    /// The same server, started again on the same database: nothing that was in memory is left.
    pub(crate) async fn restarted(&self, seed: u64) -> Arc<Self> {
        self.stop.cancel();
        let mut settings = self.settings.clone();
        settings.seed = seed;
        Self::open(self.store.clone(), settings).await
    }

    async fn open(store: Store, settings: Settings) -> Arc<Self> {
        let clock = Arc::new(MockClock::new(Millis(1_700_000_000_000)));
        let device_clock = clock.clone();
        let random = Arc::new(SeededRandom::new(settings.seed));
        let mut config = rooms_testing::Settings::named("localhost");
        config.seed = settings.seed;
        config.default_version = RoomVersionId::V11;
        config.users.body_mentions = settings.body_mentions;
        let handles = Handles::open(store.clone(), &config, clock.clone(), random).await;
        let Handles {
            users,
            rooms,
            history,
            writer,
            tasks,
            stop,
            ..
        } = handles;
        let push = Push::open(history.clone(), &settings.push, tasks.clone());
        let presence = Presence::open(
            rooms.clone(),
            clock.clone(),
            &settings.presence,
            &tasks,
            stop.clone(),
        )
        .await
        .expect("presence opens");
        let devices = Devices::new(store.clone(), device_clock, Limits::default());
        let config = SyncConfig::default();
        let needs = SyncNeeds {
            history: history.clone(),
            typing: writer.typing().clone(),
            devices: devices.clone(),
            push,
            presence: presence.clone(),
        };
        let sync = Sync::open(needs, config, &tasks, stop.clone());
        let sync = sync.await.expect("sync opens");
        Arc::new(Self {
            store,
            users,
            rooms,
            history,
            writer,
            devices,
            clock,
            presence,
            sync,
            stop,
            settings,
        })
    }

    pub(crate) async fn person(self: &Arc<Self>, name: &str) -> Person {
        let user_id = self.users.wanted_name(name).expect("a good name");
        let id = Some("DEVICE".into());
        let device = Some(NewDevice {
            id,
            display_name: None,
            can_refresh: false,
        });
        let new = NewAccount {
            user_id,
            password: None,
            is_admin: false,
            device,
        };
        let account = self.users.register(new).await.expect("the name is free");
        Person {
            world: self.clone(),
            user_id: account.user_id,
            number: account.number,
            device: "DEVICE".into(),
        }
    }

    pub(crate) async fn people<const N: usize>(self: &Arc<Self>, names: [&str; N]) -> [Person; N] {
        let mut people = Vec::new();
        for name in names {
            people.push(self.person(name).await);
        }
        people
            .try_into()
            .unwrap_or_else(|_| unreachable!("as many as names"))
    }
}

fn raw(value: &Value) -> Box<RawValue> {
    RawValue::from_string(value.to_string()).expect("a value is JSON")
}

impl Person {
    /// The same person at a server that was started again.
    pub(crate) fn at(&self, world: &Arc<World>) -> Self {
        Self {
            world: world.clone(),
            ..self.clone()
        }
    }

    /// Publishes identity keys of a device, which is made if need be; others are told if they are not those from before.
    pub(crate) async fn publish_keys(&self, device: &str, key: u8) {
        let (user, shown) = (self.number, &NEW_DEVICE);
        let made = self
            .world
            .store
            .transact(|txn| async move { devices::create(&txn, user, device, shown).await });
        made.await.expect("is stored");
        // 32 bytes in Base64, of which one counts here.
        let key = format!("{key:A>42}A");
        let keys = json!({
            "user_id": self.user_id,
            "device_id": device,
            "algorithms": [],
            "keys": { format!("ed25519:{device}"): key },
            "signatures": {},
        });
        let upload = KeyUpload {
            device_keys: Some(
                DeviceKeys::parse(&keys.to_string(), &self.user_id, device).expect("good keys"),
            ),
            ..KeyUpload::default()
        };
        let devices = &self.world.devices;
        let uploaded = devices.upload_keys(user, &self.user_id, device, &upload);
        uploaded.await.expect("is stored");
    }

    pub(crate) async fn create_room(&self, preset: Preset) -> OwnedRoomId {
        self.create_room_with(preset, &[]).await
    }

    pub(crate) async fn create_room_with(
        &self,
        preset: Preset,
        state: &[(&str, Value)],
    ) -> OwnedRoomId {
        let initial_state = state.iter().map(|(kind, content)| InitialState {
            kind: (*kind).to_owned(),
            state_key: String::new(),
            content: raw(content),
        });
        let request = CreateRoom {
            creator: self.user_id.clone(),
            version: None,
            preset: Some(preset),
            visibility: Visibility::Private,
            alias_localpart: None,
            name: None,
            topic: None,
            invite: Vec::new(),
            is_direct: false,
            creation_content: Map::new(),
            initial_state: initial_state.collect(),
            power_levels: Map::new(),
        };
        self.world
            .writer
            .create_room(request)
            .await
            .expect("the room is made")
    }

    pub(crate) async fn change(
        &self,
        room: &RoomId,
        target: &Person,
        change: Change,
    ) -> Result<(), RoomError> {
        let request = MembershipRequest::of(self.user_id.clone(), target.user_id.clone(), change);
        self.world.writer.change_membership(room, request).await
    }

    pub(crate) async fn join(&self, room: &RoomId) {
        self.change(room, self, Change::Join)
            .await
            .expect("may join");
    }

    pub(crate) async fn leave(&self, room: &RoomId) {
        self.change(room, self, Change::Leave)
            .await
            .expect("may leave");
    }

    pub(crate) async fn invite(&self, room: &RoomId, target: &Person) {
        self.change(room, target, Change::Invite)
            .await
            .expect("may invite");
    }

    pub(crate) async fn send(&self, room: &RoomId, body: &str) -> OwnedEventId {
        self.try_send(room, json!({ "msgtype": "m.text", "body": body }))
            .await
            .expect("may send")
    }

    pub(crate) async fn try_send(
        &self,
        room: &RoomId,
        content: Value,
    ) -> Result<OwnedEventId, RoomError> {
        self.try_send_kind(room, "m.room.message", content).await
    }

    pub(crate) async fn try_send_kind(
        &self,
        room: &RoomId,
        kind: &str,
        content: Value,
    ) -> Result<OwnedEventId, RoomError> {
        let message = Message {
            sender: self.user_id.clone(),
            kind: kind.to_owned(),
            content: raw(&content),
            transaction: None::<TransactionId>,
            timestamp: None,
        };
        Ok(self.world.writer.send(room, message).await?.event_id)
    }

    pub(crate) async fn set_state(
        &self,
        room: &RoomId,
        kind: &str,
        content: Value,
    ) -> Result<OwnedEventId, RoomError> {
        let state = State {
            sender: self.user_id.clone(),
            kind: kind.to_owned(),
            state_key: String::new(),
            content: raw(&content),
            timestamp: None,
        };
        Ok(self.world.writer.set_state(room, state).await?.event_id)
    }

    pub(crate) async fn redact(
        &self,
        room: &RoomId,
        target: OwnedEventId,
    ) -> Result<OwnedEventId, RoomError> {
        let redaction = Redaction {
            sender: self.user_id.clone(),
            target,
            content: Map::new(),
            transaction: None,
        };
        Ok(self.world.writer.redact(room, redaction).await?.event_id)
    }

    /// Sends a message to all devices of somebody.
    pub(crate) async fn send_to_devices(&self, target: &Person, transaction: &str, content: &str) {
        let recipient = Recipient {
            user: target.number,
            target: Target::All,
            content: content.into(),
        };
        let message = to_device::Message {
            sender: self.number,
            sender_id: &self.user_id,
            device: self.device.as_str(),
            kind: "m.test",
            transaction,
            recipients: vec![recipient],
        };
        self.world.devices.send(&message).await.expect("is stored");
    }

    pub(crate) async fn read(&self, room: &RoomId, markers: Markers) -> Result<(), RoomError> {
        self.world
            .history
            .mark_read(room, self.number, markers)
            .await
    }

    pub(crate) fn request(&self, ask: &Ask) -> SyncRequest {
        let filter = match &ask.filter {
            Value::Null => Filter::everything(),
            filter => {
                let filter: FilterDefinition =
                    serde_json::from_value(filter.clone()).expect("a filter");
                Arc::new(Filter::from(&filter))
            }
        };
        SyncRequest {
            user_id: self.user_id.clone(),
            user: self.number,
            device: self.device.clone(),
            since: ask
                .since
                .as_ref()
                .map(|since| since.parse().expect("a token")),
            filter,
            full_state: ask.full_state,
            state_after: ask.state_after,
            timeout: ask.timeout,
            set_presence: ask.set_presence,
            online: ask.online,
        }
    }

    pub(crate) async fn try_sync(&self, ask: &Ask) -> Result<Value, SyncError> {
        let answer = self.world.sync.sync(self.request(ask)).await?;
        Ok(serde_json::from_slice(&answer).expect("the answer is JSON"))
    }

    pub(crate) async fn sync(&self, ask: &Ask) -> Value {
        self.try_sync(ask).await.expect("the token is good")
    }

    /// A token of now.
    pub(crate) async fn token(&self) -> String {
        next_batch(&self.sync(&Ask::default()).await)
    }
}

pub(crate) fn next_batch(answer: &Value) -> String {
    answer["next_batch"]
        .as_str()
        .expect("every answer has a token")
        .to_owned()
}

/// The events of a list such as `rooms.join.X.timeline`.
pub(crate) fn events(list: &Value) -> Vec<Value> {
    list["events"].as_array().cloned().unwrap_or_default()
}

pub(crate) fn ids(list: &Value) -> Vec<String> {
    let ids = events(list);
    ids.iter()
        .filter_map(|event| Some(event["event_id"].as_str()?.to_owned()))
        .collect()
}
