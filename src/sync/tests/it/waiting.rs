//! Clients that wait: woken by what concerns them, by nothing else, and never forgotten.

use std::time::Duration;

use rooms_writer::Preset;
use serde_json::json;
use tokio_util::task::TaskTracker;

use crate::world::{Ask, Person, World, events, ids, next_batch};

const LONG: Duration = Duration::from_secs(250);

fn waiting(person: &Person, token: &str) -> tokio::task::JoinHandle<serde_json::Value> {
    let (person, ask) = (person.clone(), Ask::since(token).waiting(LONG));
    TaskTracker::new().spawn(async move { person.sync(&ask).await })
}

/// Until nothing moves any more.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_wakes_those_who_wait() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    let waits = waiting(&bob, &bob.token().await);
    settle().await;
    assert!(!waits.is_finished());

    let sent = alice.send(&room, "hello").await;

    let answer = waits.await.expect("does not panic");
    assert_eq!(
        ids(&answer["rooms"]["join"][room.as_str()]["timeline"]),
        [sent.to_string()]
    );
}

#[tokio::test(start_paused = true)]
async fn an_invite_wakes_who_is_in_no_room() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PrivateChat).await;
    let waits = waiting(&bob, &bob.token().await);
    settle().await;
    alice.invite(&room, &bob).await;
    let answer = waits.await.expect("does not panic");
    assert!(answer["rooms"]["invite"].get(room.as_str()).is_some());
}

#[tokio::test(start_paused = true)]
async fn who_has_just_joined_is_woken_by_the_next_message_and_who_left_is_not() {
    let world = World::new().await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    // The room becomes active: from here on its members are in memory.
    let waits = waiting(&bob, &bob.token().await);
    settle().await;
    alice.send(&room, "one").await;
    waits.await.expect("does not panic");
    carol.join(&room).await;
    bob.leave(&room).await;
    let [carols, bobs] = [carol.token().await, bob.token().await];
    let [carol_waits, bob_waits] = [waiting(&carol, &carols), waiting(&bob, &bobs)];
    settle().await;

    alice.send(&room, "two").await;

    carol_waits.await.expect("does not panic");
    settle().await;
    assert!(!bob_waits.is_finished());
    bob_waits.abort();
}

#[tokio::test(start_paused = true)]
async fn typing_wakes_and_stops() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    let waits = waiting(&bob, &bob.token().await);
    settle().await;
    let typing = Some(Duration::from_secs(10));
    world
        .writer
        .set_typing(&room, alice.number, &alice.user_id, typing)
        .await
        .expect("is inside");
    let answer = waits.await.expect("does not panic");
    let ephemeral = events(&answer["rooms"]["join"][room.as_str()]["ephemeral"]);
    assert_eq!(
        ephemeral,
        [json!({ "type": "m.typing", "content": { "user_ids": [alice.user_id] } })]
    );

    let waits = waiting(&bob, &next_batch(&answer));
    settle().await;
    world
        .writer
        .set_typing(&room, alice.number, &alice.user_id, None)
        .await
        .expect("is inside");
    let answer = waits.await.expect("does not panic");
    let ephemeral = events(&answer["rooms"]["join"][room.as_str()]["ephemeral"]);
    assert_eq!(
        ephemeral,
        [json!({ "type": "m.typing", "content": { "user_ids": [] } })]
    );
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_its_timeout_and_not_before() {
    let world = World::new().await;
    let [alice] = world.people(["alice"]).await;
    let token = alice.token().await;
    let before = tokio::time::Instant::now();
    let answer = alice.sync(&Ask::since(&token).waiting(LONG)).await;
    assert_eq!(before.elapsed().as_secs(), LONG.as_secs());
    assert!(answer.get("rooms").is_none());
    let forever = Ask::since(&token).waiting(Duration::from_secs(1 << 40));
    let before = tokio::time::Instant::now();
    alice.sync(&forever).await;
    assert_eq!(before.elapsed().as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn what_concerns_others_wakes_nobody() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    let waits = waiting(&bob, &bob.token().await);
    settle().await;
    alice.send(&room, "alone").await;
    settle().await;
    assert!(!waits.is_finished());
    waits.abort();
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_everyone_is_answered() {
    let world = World::new().await;
    let [alice] = world.people(["alice"]).await;
    let waits = waiting(&alice, &alice.token().await);
    settle().await;
    world.stop.cancel();
    let answer = waits.await.expect("does not panic");
    assert!(answer.get("rooms").is_none());
}

#[test]
fn a_parked_request_is_small() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("starts");
    runtime.block_on(async {
        let world = World::new().await;
        let [alice] = world.people(["alice"]).await;
        let request = alice.request(&Ask::default());
        let parked = world.sync.sync(request);
        assert!(
            size_of_val(&parked) < 1024,
            "{} bytes",
            size_of_val(&parked)
        );
    });
}
