//! What sync costs: a user in quiet rooms, a message to many who wait, parking and waking.

#[path = "../tests/it/world.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod world;

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use rooms_writer::Preset;
use tokio::runtime::Runtime;

use crate::world::{Ask, World};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("starts")
}

/// An incremental sync of a user in `rooms` rooms in which nothing happens.
fn quiet_rooms(criterion: &mut Criterion) {
    for rooms in [10, 1000] {
        let runtime = runtime();
        let (world, request) = runtime.block_on(async {
            let world = World::new().await;
            let alice = world.person("alice").await;
            for _ in 0..rooms {
                alice.create_room(Preset::PublicChat).await;
            }
            let token = alice.token().await;
            let request = alice.request(&Ask::since(&token));
            (world, request)
        });
        criterion.bench_function(&format!("quiet rooms: {rooms}"), |bench| {
            bench.iter(|| {
                let answer = runtime.block_on(world.sync.sync(request.clone()));
                black_box(answer.expect("is answered"))
            });
        });
    }
}

/// One message to a room whose members all wait; the time is that of all deliveries.
fn fan_out(criterion: &mut Criterion) {
    const MEMBERS: usize = 200;
    let runtime = runtime();
    let (_world, alice, room, members) = runtime.block_on(async {
        let world = World::new().await;
        let alice = world.person("alice").await;
        let room = alice.create_room(Preset::PublicChat).await;
        let mut members = Vec::new();
        for at in 0..MEMBERS {
            let member = world.person(&format!("member{at}")).await;
            member.join(&room).await;
            members.push(member);
        }
        (world, alice, room, members)
    });
    let mut token = runtime.block_on(alice.token());
    criterion.bench_function(&format!("fan-out to {MEMBERS}"), |bench| {
        bench.iter(|| {
            runtime.block_on(async {
                let ask = Ask::since(&token).waiting(Duration::from_mins(1));
                let waiting: FuturesUnordered<_> =
                    members.iter().map(|member| member.try_sync(&ask)).collect();
                alice.send(&room, "hello").await;
                let told: Vec<_> = waiting.collect().await;
                for told in told {
                    black_box(told.expect("is answered"));
                }
                token = alice.token().await;
            });
        });
    });
}

/// An initial sync of a user in 50 rooms of 20 members, with 20 events each.
fn initial(criterion: &mut Criterion) {
    let runtime = runtime();
    let (world, request) = runtime.block_on(async {
        let world = World::new().await;
        let alice = world.person("alice").await;
        let mut others = Vec::new();
        for at in 0..19 {
            others.push(world.person(&format!("member{at}")).await);
        }
        for _ in 0..50 {
            let room = alice.create_room(Preset::PublicChat).await;
            for other in &others {
                other.join(&room).await;
            }
            for count in 0..20 {
                others[count % 19]
                    .send(&room, "a message of usual length, more or less")
                    .await;
            }
        }
        let filter = serde_json::json!({ "room": { "timeline": { "limit": 20 } } });
        let request = alice.request(&Ask::default().filter(filter));
        (world, request)
    });
    criterion.bench_function("initial sync of 50 rooms", |bench| {
        bench.iter(|| {
            let answer = runtime.block_on(world.sync.sync(request.clone()));
            black_box(answer.expect("is answered"))
        });
    });
}

criterion_group!(benches, quiet_rooms, fan_out, initial);
criterion_main!(benches);
