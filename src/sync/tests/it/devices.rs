//! What devices are told: messages to them, each until it is acknowledged and never after, and whose keys are to be read anew.

use std::time::Duration;

use rooms_writer::Preset;
use serde_json::{Value, json};
use tokio_util::task::TaskTracker;

use crate::world::{Ask, World, events, next_batch};

fn contents(answer: &Value) -> Vec<u64> {
    let events = events(&answer["to_device"]);
    events
        .iter()
        .filter_map(|event| event["content"]["count"].as_u64())
        .collect()
}

#[tokio::test]
async fn a_message_is_told_again_until_a_token_acknowledges_it() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let token = bob.token().await;
    alice.send_to_devices(&bob, "1", r#"{"count":1}"#).await;

    let first = bob.sync(&Ask::since(&token)).await;
    let again = bob.sync(&Ask::since(&token)).await;
    let after = bob.sync(&Ask::since(&next_batch(&again))).await;
    let late = bob.sync(&Ask::since(&token)).await;

    assert_eq!(contents(&first), [1]);
    assert_eq!(contents(&again), [1]);
    assert!(contents(&after).is_empty());
    assert!(contents(&late).is_empty(), "what was acknowledged is gone");
}

#[tokio::test]
async fn many_messages_come_a_hundred_at_a_time_in_order() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let mut token = bob.token().await;
    for count in 0..250 {
        let content = json!({ "count": count }).to_string();
        alice
            .send_to_devices(&bob, &count.to_string(), &content)
            .await;
    }
    let mut told = Vec::new();
    for size in [100, 100, 50, 0] {
        let answer = bob.sync(&Ask::since(&token)).await;
        assert_eq!(contents(&answer).len(), size);
        told.extend(contents(&answer));
        token = next_batch(&answer);
    }
    assert_eq!(told, (0..250).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_message_wakes_its_device() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let token = bob.token().await;
    let waits = {
        let (bob, ask) = (
            bob.clone(),
            Ask::since(&token).waiting(Duration::from_mins(1)),
        );
        TaskTracker::new().spawn(async move { bob.sync(&ask).await })
    };
    alice.send_to_devices(&bob, "1", r#"{"count":1}"#).await;
    assert_eq!(contents(&waits.await.expect("does not panic")), [1]);
}

#[tokio::test]
async fn who_joins_is_to_be_read_anew_and_who_leaves_is_not_followed_any_more() {
    let world = World::new().await;
    let [alice, bob] = world.people(["alice", "bob"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    let token = alice.token().await;
    bob.join(&room).await;
    let joined = alice.sync(&Ask::since(&token)).await;
    assert_eq!(joined["device_lists"]["changed"], json!([bob.user_id]));
    bob.leave(&room).await;
    let left = alice.sync(&Ask::since(&next_batch(&joined))).await;
    assert_eq!(left["device_lists"]["left"], json!([bob.user_id]));
    let quiet = alice.sync(&Ask::since(&next_batch(&left))).await;
    assert!(quiet.get("device_lists").is_none());
}
