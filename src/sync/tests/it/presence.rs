//! Presence in `/sync`: who is told what of whom, how often, and how many are online in a room.

use std::{sync::Arc, time::Duration};

use database::Clock as _;
use presence::{PresenceConfig, PresenceState, SetPresence};
use protocol::push::BodyMentions;
use push::PushConfig;
use rooms_writer::Preset;
use ruma::RoomId;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::world::{Ask, Person, Settings, World, events, next_batch};

const LONG: Duration = Duration::from_secs(250);

async fn world() -> Arc<World> {
    World::with(Settings {
        seed: 1,
        body_mentions: BodyMentions::Ignored,
        push: PushConfig::default(),
        presence: PresenceConfig::default(),
    })
    .await
}

/// Lets time pass on both clocks, in steps, so that everything that is due happens in between.
async fn pass(world: &World, time: Duration) {
    const STEP: Duration = Duration::from_millis(100);
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(STEP);
        world.clock.advance(step);
        tokio::time::advance(step).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        left -= step;
    }
}

fn waiting(person: &Person, ask: Ask) -> JoinHandle<Value> {
    let person = person.clone();
    TaskTracker::new().spawn(async move { person.sync(&ask).await })
}

/// (sender, state) of each presence event.
fn told(answer: &Value) -> Vec<(String, String)> {
    let events = events(&answer["presence"]);
    let mut told: Vec<(String, String)> = events
        .iter()
        .map(|event| {
            assert_eq!(event["type"], "m.presence");
            let text = |value: &Value| value.as_str().expect("a string").to_owned();
            (text(&event["sender"]), text(&event["content"]["presence"]))
        })
        .collect();
    told.sort();
    told
}

fn is(person: &Person, state: &str) -> (String, String) {
    (person.user_id.to_string(), state.to_owned())
}

fn online(answer: &Value, room: &RoomId) -> Value {
    answer["rooms"]["join"][room.as_str()]["chat.aqueduct.online"].clone()
}

/// A token of a time when all that is known was told.
async fn settled(world: &World, person: &Person) -> String {
    pass(world, Duration::from_secs(3)).await;
    next_batch(&person.sync(&Ask::default()).await)
}

#[tokio::test(start_paused = true)]
async fn who_comes_online_is_told_to_those_who_share_a_room_and_to_nobody_else() {
    let world = world().await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    let [bobs, carols] = [settled(&world, &bob).await, settled(&world, &carol).await];
    pass(&world, Duration::from_secs(3)).await;
    let waits = waiting(&bob, Ask::since(&bobs).waiting(LONG));
    let answer = waits.await.expect("does not panic");
    assert_eq!(
        told(&answer),
        [is(&bob, "online")],
        "a client is told its own state"
    );
    let bobs = next_batch(&answer);
    let waits = waiting(&bob, Ask::since(&bobs).waiting(LONG));
    pass(&world, Duration::from_secs(3)).await;
    assert!(!waits.is_finished());

    alice.sync(&Ask::default()).await;

    pass(&world, Duration::from_secs(3)).await;
    let answer = waits.await.expect("does not panic");
    assert_eq!(told(&answer), [is(&alice, "online")]);
    let answer = carol.sync(&Ask::since(&carols)).await;
    assert_eq!(told(&answer), [is(&carol, "online")]);
    let answer = carol.sync(&Ask::default()).await;
    assert_eq!(told(&answer), [is(&carol, "online")]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_falls_silent_is_offline_half_a_minute_later() {
    let world = world().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    alice.sync(&Ask::default()).await;
    let token = settled(&world, &bob).await;
    pass(&world, Duration::from_secs(3)).await;
    let token = next_batch(&bob.sync(&Ask::since(&token)).await);
    let waits = waiting(&bob, Ask::since(&token).waiting(LONG));
    pass(&world, Duration::from_secs(20)).await;
    assert!(!waits.is_finished());
    pass(&world, Duration::from_secs(11)).await;
    let answer = waits.await.expect("does not panic");
    assert_eq!(told(&answer), [is(&alice, "offline")]);
}

#[tokio::test(start_paused = true)]
async fn changes_of_one_user_are_told_every_two_seconds_at_most() {
    let world = world().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    let mut token = settled(&world, &bob).await;
    pass(&world, Duration::from_secs(3)).await;
    token = next_batch(&bob.sync(&Ask::since(&token)).await);
    let mut answers = 0;
    for _ in 0..2 {
        // Twenty changes in two seconds.
        let waits = waiting(&bob, Ask::since(&token).waiting(Duration::from_secs(2)));
        for text in 0..20 {
            let text = format!("message {text}");
            let put = world.presence.put(
                alice.number,
                alice.device.as_str(),
                PresenceState::Online,
                Some(&text),
            );
            put.await.expect("is stored");
            pass(&world, Duration::from_millis(100)).await;
        }
        let answer = waits.await.expect("does not panic");
        answers += told(&answer).len();
        token = next_batch(&answer);
    }
    assert!(answers <= 2, "{answers}");
    pass(&world, Duration::from_secs(2)).await;
    let answer = bob.sync(&Ask::since(&token)).await;
    let last = &events(&answer["presence"])[0];
    assert_eq!(last["content"]["status_msg"], "message 19");
}

#[tokio::test(start_paused = true)]
async fn who_joins_learns_who_is_there_and_they_learn_of_them() {
    let world = world().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    let [alices, bobs] = [settled(&world, &alice).await, settled(&world, &bob).await];
    pass(&world, Duration::from_secs(3)).await;
    let alices = next_batch(&alice.sync(&Ask::since(&alices)).await);
    let bobs = next_batch(&bob.sync(&Ask::since(&bobs)).await);

    bob.join(&room).await;

    pass(&world, Duration::from_secs(3)).await;
    let answer = bob.sync(&Ask::since(&bobs)).await;
    assert!(told(&answer).contains(&is(&alice, "online")), "{answer}");
    let answer = alice.sync(&Ask::since(&alices)).await;
    assert!(told(&answer).contains(&is(&bob, "online")), "{answer}");

    // And no more once they have parted.
    let alices = next_batch(&answer);
    bob.leave(&room).await;
    world
        .presence
        .put(bob.number, "DEVICE", PresenceState::Busy, Some("gone"))
        .await
        .expect("is stored");
    pass(&world, Duration::from_secs(3)).await;
    assert!(told(&alice.sync(&Ask::since(&alices)).await).is_empty());
    let status = world.presence.status(alice.number, &bob.user_id).await;
    assert!(status.is_err(), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn filters_and_ignored_users_are_respected() {
    let world = world().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    alice.sync(&Ask::default()).await;
    pass(&world, Duration::from_secs(3)).await;
    let nobody = json!({ "presence": { "not_types": ["*"] } });
    let answer = bob.sync(&Ask::default().filter(nobody.clone())).await;
    assert!(answer.get("presence").is_none(), "{answer}");
    // Presence wakes nobody who does not want it.
    let ask = Ask::since(&next_batch(&answer))
        .filter(nobody)
        .waiting(LONG);
    let waits = waiting(&bob, ask);
    world
        .presence
        .put(alice.number, "DEVICE", PresenceState::Busy, None)
        .await
        .expect("is stored");
    pass(&world, Duration::from_secs(3)).await;
    assert!(!waits.is_finished());
    waits.abort();
    let only = json!({ "presence": { "senders": [alice.user_id] } });
    let answer = bob.sync(&Ask::default().filter(only)).await;
    assert_eq!(told(&answer), [is(&alice, "org.matrix.msc3026.busy")]);
}

#[tokio::test(start_paused = true)]
async fn counts_come_first_and_whenever_they_change() {
    let world = world().await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    let counted = |since: Option<&str>| Ask {
        since: since.map(str::to_owned),
        online: true,
        filter: json!({ "presence": { "not_types": ["*"] } }),
        ..Ask::default()
    };
    let plain = alice.sync(&Ask::default()).await;
    assert!(online(&plain, &room).is_null());
    // The first answer with the parameter tells it, whatever the token.
    let answer = alice.sync(&counted(Some(&next_batch(&plain)))).await;
    assert_eq!(online(&answer, &room), json!({ "online": 1, "joined": 2 }));
    pass(&world, Duration::from_secs(2)).await;
    let answer = alice.sync(&counted(Some(&next_batch(&answer)))).await;
    let token = next_batch(&answer);
    let waits = waiting(&alice, counted(Some(&token)).waiting(LONG));
    pass(&world, Duration::from_secs(2)).await;
    assert!(!waits.is_finished());

    bob.sync(&Ask::default()).await;
    pass(&world, Duration::from_secs(2)).await;
    let answer = waits.await.expect("does not panic");
    assert_eq!(online(&answer, &room), json!({ "online": 2, "joined": 2 }));

    // Who joins without being online changes the second number.
    let waits = waiting(&alice, counted(Some(&next_batch(&answer))).waiting(LONG));
    carol.join(&room).await;
    // The join itself may be told before the count is.
    let answer = waits.await.expect("does not panic");
    pass(&world, Duration::from_secs(2)).await;
    let later = alice.sync(&counted(Some(&next_batch(&answer)))).await;
    let counts = [online(&answer, &room), online(&later, &room)];
    assert!(
        counts.contains(&json!({ "online": 2, "joined": 3 })),
        "{counts:?}"
    );
    let quiet = alice.sync(&counted(Some(&next_batch(&later)))).await;
    assert!(online(&quiet, &room).is_null(), "{quiet}");
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_the_last_state_is_known_until_it_ends() {
    let world = world().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    world
        .presence
        .put(alice.number, "DEVICE", PresenceState::Busy, Some("writing"))
        .await
        .expect("is stored");
    let world = world.restarted(2).await;
    let bob = bob.at(&world);
    let status = world.presence.status(bob.number, &alice.user_id).await;
    let status = status.expect("they share a room");
    assert_eq!(status.state, PresenceState::Busy);
    assert_eq!(status.status_msg.as_deref(), Some("writing"));
    for _ in 0..31 {
        pass(&world, Duration::from_secs(1)).await;
    }
    let status = world.presence.status(bob.number, &alice.user_id).await;
    let status = status.expect("they share a room");
    assert_eq!(status.state, PresenceState::Offline);
    assert_eq!(status.status_msg.as_deref(), Some("writing"));
    assert!(world.clock.now().0 > 0);
}

#[tokio::test(start_paused = true)]
async fn an_invisible_sync_makes_nobody_online() {
    let world = world().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    let invisible = Ask {
        set_presence: SetPresence::Offline,
        ..Ask::default()
    };
    bob.sync(&invisible).await;
    pass(&world, Duration::from_secs(3)).await;
    let answer = alice.sync(&Ask::default()).await;
    assert_eq!(told(&answer), [is(&alice, "online")]);
    let token = next_batch(&bob.sync(&invisible).await);
    let ask = Ask {
        since: Some(token),
        ..invisible
    };
    let waits = waiting(&bob, ask.waiting(LONG));
    pass(&world, Duration::from_secs(3)).await;
    let answer = waits.await.expect("does not panic");
    assert_eq!(told(&answer), [is(&alice, "online")], "but it watches");
}
