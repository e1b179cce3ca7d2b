//! What reading costs when everything is in the caches: a page of 1,000 messages, a state of 1,000 events, 100 members.
//! `cargo bench -p rooms-testing --bench reading`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use database::Store;
use rooms_history::{Direction, EventFilter, History, MembersFilter, MessagesRequest, Reader};
use rooms_testing::{Settings, TestRooms};
use rooms_writer::{Change, MembershipRequest, Message, State};
use ruma::{OwnedRoomId, RoomVersionId};
use serde_json::{Value, json, value::RawValue};

fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("JSON")
}

/// 100 members, 1,000 state events and then 1,000 messages.
async fn lived_in_room() -> (History, OwnedRoomId, Reader) {
    let settings = Settings {
        default_version: RoomVersionId::V11,
        cache_bytes: 64 << 20,
        ..Settings::default()
    };
    let house = TestRooms::open(Store::memory(), &settings).await;
    let alice = house.person("alice").await;
    let room = house.public_room(&alice).await;
    for number in 0..100 {
        let user = house.person(&format!("user{number}")).await;
        let join = MembershipRequest::own(user, Change::Join);
        house
            .writer
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
            .writer
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
        house.writer.send(&room, message).await.expect("a message");
    }
    let db = house.rooms.snapshot().await.expect("a snapshot");
    let user = house
        .users
        .number(&db, &alice)
        .await
        .expect("a read")
        .expect("a user");
    (
        house.history,
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
    let (history, room, reader) = runtime.block_on(lived_in_room());
    let page = MessagesRequest {
        from: None,
        to: None,
        direction: Direction::Backward,
        limit: 1_000,
        filter: EventFilter::default(),
    };
    criterion.bench_function("messages: a page of 1,000", |bencher| {
        bencher.iter(|| {
            let page = runtime.block_on(history.messages(&room, &reader, black_box(&page)));
            page.expect("a page").chunk.len()
        });
    });
    criterion.bench_function("state: 1,100 events", |bencher| {
        bencher.iter(|| {
            let state = runtime.block_on(history.state_for(black_box(&room), reader.user));
            state.expect("a state").len()
        });
    });
    let everybody = MembersFilter::default();
    criterion.bench_function("members: 100", |bencher| {
        bencher.iter(|| {
            let members = history.members_for(black_box(&room), reader.user, &everybody);
            runtime.block_on(members).expect("members").len()
        });
    });
}

criterion_group!(benches, reading);
criterion_main!(benches);
