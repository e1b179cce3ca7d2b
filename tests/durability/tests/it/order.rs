//! Order under load: an acknowledged event is in the next `/sync`, and every member sees the order
//! of `/messages`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use crate::chance::count_from;
use crate::client::{Client, Watcher, assert_same};
use crate::server::{Home, Server};

const SENDERS: usize = 16;

/// Each sender syncs right after each 200, from a token that is older than its send.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_after_a_200_has_the_event_and_all_see_one_order() {
    let sends = Arc::new(AtomicUsize::new(count_from("DURABILITY_SENDS", 10_000)));
    let home = Home::new();
    let server = home.start().await;
    let (room, members) = a_room_of(&server, SENDERS).await;
    let mut watchers = Vec::new();
    for member in &members {
        watchers.push(Watcher::begin(member.clone()).await);
    }
    let mut tasks = JoinSet::new();
    for (number, mut watcher) in watchers.into_iter().enumerate() {
        let (member, room, sends) = (members[number].clone(), room.clone(), Arc::clone(&sends));
        tasks.spawn(async move {
            for count in 0.. {
                if !take_one(&sends) {
                    break;
                }
                let id = member.send(&room, &format!("{number}-{count}")).await;
                watcher.watch(0).await.expect("the server runs");
                let is_there = watcher.has_seen(&room, &id);
                assert!(
                    is_there,
                    "{id} was acknowledged and is not in the next /sync"
                );
            }
            watcher
        });
    }
    let mut watchers = Vec::new();
    while let Some(watcher) = tasks.join_next().await {
        watchers.push(watcher.expect("a member does not panic"));
    }

    let timeline = members[0].messages(&room).await;

    for watcher in &mut watchers {
        watcher.catch_up().await;
        assert_same(&watcher.messages(&room), &timeline);
    }
    server.stop().await;
}

/// Clients in long polls also see each event once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_see_the_order_of_messages() {
    const MESSAGES: usize = 50;
    let home = Home::new();
    let server = home.start().await;
    let (room, members) = a_room_of(&server, 8).await;
    let mut tasks = JoinSet::new();
    for member in &members {
        let mut watcher = Watcher::begin(member.clone()).await;
        let (room, all) = (room.clone(), members.len() * MESSAGES);
        tasks.spawn(async move {
            while watcher.messages(&room).len() < all {
                watcher.watch(30_000).await.expect("the server runs");
            }
            watcher.messages(&room)
        });
    }
    let mut senders = JoinSet::new();
    for (number, member) in members.iter().cloned().enumerate() {
        let room = room.clone();
        senders.spawn(async move {
            for count in 0..MESSAGES {
                member.send(&room, &format!("{number}-{count}")).await;
            }
        });
    }
    senders.join_all().await;

    let timeline = members[0].messages(&room).await;

    for seen in tasks.join_all().await {
        assert_same(&seen, &timeline);
    }
    server.stop().await;
}

/// Whether one was left.
fn take_one(left: &AtomicUsize) -> bool {
    let taken = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
        left.checked_sub(1)
    });
    taken.is_ok()
}

async fn a_room_of(server: &Server, count: usize) -> (String, Vec<Client>) {
    let mut members = Vec::new();
    for number in 0..count {
        members.push(Client::register(server, &format!("member{number}")).await);
    }
    let room = members[0].create_public_room().await;
    for member in &members[1..] {
        member.join(&room).await;
    }
    (room, members)
}
