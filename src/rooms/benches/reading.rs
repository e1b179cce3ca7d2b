//! What reading costs when everything is in the caches: a page of 1,000 messages, a state of 1,000 events, 100 members.
//! `cargo bench -p rooms --bench reading`.

use std::{hint::black_box, sync::Arc};

use criterion::{Criterion, criterion_group, criterion_main};
use database::{Memory, MockClock, SeededRandom, Store};
use federation::Keys;
use rooms::{
    Change, CreateRoom, Direction, EventFilter, MembersFilter, MembershipRequest, Message,
    MessagesRequest, Preset, Reader, Rooms, RoomsConfig, State, Visibility,
};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomVersionId};
use serde_json::{Map, Value, json, value::RawValue};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use users::{Hashing, Password, Users, UsersConfig};

struct House {
    rooms: Rooms,
    users: Users,
}

async fn house() -> House {
    let store = Store::new(Arc::new(Memory::new()));
    let clock = Arc::new(MockClock::default());
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
        default_version: RoomVersionId::V11,
        event_cache_bytes: 64 << 20,
        ..RoomsConfig::new(server_name)
    };
    let stop = CancellationToken::new();
    let rooms = Rooms::open(
        store,
        clock,
        random,
        users.clone(),
        keys,
        config,
        tasks,
        stop,
    );
    House { rooms, users }
}

impl House {
    async fn person(&self, name: &str) -> OwnedUserId {
        let password = Password::new("correct horse battery".to_owned()).expect("a password");
        self.users
            .create(name, password, false)
            .await
            .expect("a new user")
    }

    async fn room(&self, creator: &OwnedUserId) -> OwnedRoomId {
        let request = CreateRoom {
            creator: creator.clone(),
            version: None,
            preset: Some(Preset::PublicChat),
            visibility: Visibility::Private,
            alias_localpart: None,
            name: None,
            topic: None,
            invite: Vec::new(),
            is_direct: false,
            creation_content: Map::new(),
            initial_state: Vec::new(),
            power_levels: Map::new(),
        };
        self.rooms.create_room(request).await.expect("a new room")
    }
}

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("JSON")
}

/// 100 members, 1,000 state events and then 1,000 messages.
async fn lived_in_room() -> (Rooms, OwnedRoomId, Reader) {
    let house = house().await;
    let alice = house.person("alice").await;
    let room = house.room(&alice).await;
    for number in 0..100 {
        let user = house.person(&format!("user{number}")).await;
        let join = MembershipRequest::own(user, Change::Join);
        house
            .rooms
            .change_membership(&room, join)
            .await
            .expect("a join");
    }
    for number in 0..1_000 {
        let state = State {
            sender: alice.clone(),
            kind: "org.example.state".to_owned(),
            state_key: number.to_string(),
            content: raw(&json!({ "number": number, "text": "some text of a usual length" })),
            timestamp: None,
        };
        house
            .rooms
            .set_state(&room, state)
            .await
            .expect("a state event");
    }
    for number in 0..1_000 {
        let body = format!("message {number}: some text of a usual length, as people write it");
        let message = Message {
            sender: alice.clone(),
            kind: "m.room.message".to_owned(),
            content: raw(&json!({ "msgtype": "m.text", "body": body })),
            transaction: None,
            timestamp: None,
        };
        house.rooms.send(&room, message).await.expect("a message");
    }
    let db = house.rooms.snapshot().await.expect("a snapshot");
    let user = house
        .users
        .number(&db, &alice)
        .await
        .expect("a read")
        .expect("a user");
    (
        house.rooms,
        room,
        Reader {
            user,
            device: "PHONE".into(),
        },
    )
}

fn reading(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    let (rooms, room, reader) = runtime.block_on(lived_in_room());
    let page = MessagesRequest {
        from: None,
        to: None,
        direction: Direction::Backward,
        limit: 1_000,
        filter: EventFilter::default(),
    };
    criterion.bench_function("messages: a page of 1,000", |bencher| {
        bencher.iter(|| {
            let page = runtime.block_on(rooms.messages(&room, &reader, black_box(&page)));
            page.expect("a page").chunk.len()
        });
    });
    criterion.bench_function("state: 1,100 events", |bencher| {
        bencher.iter(|| {
            let state = runtime.block_on(rooms.state_for(black_box(&room), reader.user));
            state.expect("a state").len()
        });
    });
    let everybody = MembersFilter::default();
    criterion.bench_function("members: 100", |bencher| {
        bencher.iter(|| {
            let members = rooms.members_for(black_box(&room), reader.user, &everybody);
            runtime.block_on(members).expect("members").len()
        });
    });
}

criterion_group!(benches, reading);
criterion_main!(benches);
