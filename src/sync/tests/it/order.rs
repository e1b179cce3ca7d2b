//! What was acknowledged is told: under load, to every token from before, to everyone in the same order.

use std::{collections::HashMap, time::Duration};

use rooms_writer::Preset;

use crate::world::{Ask, World, ids, next_batch};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_send_every_sync_from_an_older_token_contains_the_event() {
    let world = World::new().await;
    let [alice, bob, carol] = world.people(["alice", "bob", "carol"]).await;
    let room = alice.create_room(Preset::PublicChat).await;
    bob.join(&room).await;
    carol.join(&room).await;
    let people = [alice, bob, carol];
    let mut senders = tokio::task::JoinSet::new();
    for (at, person) in people.iter().enumerate() {
        for turn in 0..2 {
            let (person, room) = (person.clone(), room.clone());
            let other = people[(at + 1) % people.len()].clone();
            senders.spawn(async move {
                for count in 0..50 {
                    let token = other.token().await;
                    let sent = person.send(&room, &format!("{turn} {count}")).await;
                    let filter = serde_json::json!({ "room": { "timeline": { "limit": 100 } } });
                    let answer = other.sync(&Ask::since(&token).filter(filter)).await;
                    let told = ids(&answer["rooms"]["join"][room.as_str()]["timeline"]);
                    assert!(told.contains(&sent.to_string()), "{sent} is missing");
                }
            });
        }
    }
    while let Some(done) = senders.join_next().await {
        done.expect("does not panic");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_who_waits_is_told_the_same_order_and_nothing_twice() {
    // All together are no more than one answer takes, however late a reader is.
    const MESSAGES: usize = 16;
    let world = World::new().await;
    let names: [String; 6] = std::array::from_fn(|at| format!("user{at}"));
    let mut people = Vec::new();
    for name in &names {
        people.push(world.person(name).await);
    }
    let room = people[0].create_room(Preset::PublicChat).await;
    for person in &people[1..] {
        person.join(&room).await;
    }
    let mut readers = tokio::task::JoinSet::new();
    for person in &people {
        let (person, room) = (person.clone(), room.clone());
        let mut token = person.token().await;
        readers.spawn(async move {
            let mut told = Vec::new();
            while told.len() < MESSAGES * 6 {
                let ask = Ask::since(&token).waiting(Duration::from_mins(1));
                let ask =
                    ask.filter(serde_json::json!({ "room": { "timeline": { "limit": 100 } } }));
                let answer = person.sync(&ask).await;
                let timeline = &answer["rooms"]["join"][room.as_str()]["timeline"];
                assert_ne!(timeline["limited"], true);
                told.extend(ids(timeline));
                token = next_batch(&answer);
            }
            told
        });
    }
    let mut senders = tokio::task::JoinSet::new();
    for person in people {
        let room = room.clone();
        senders.spawn(async move {
            for count in 0..MESSAGES {
                person.send(&room, &count.to_string()).await;
            }
        });
    }
    let mut orders: HashMap<Vec<String>, usize> = HashMap::new();
    while let Some(told) = readers.join_next().await {
        *orders.entry(told.expect("does not panic")).or_default() += 1;
    }
    assert_eq!(orders.len(), 1, "everyone has the same order");
    let told = orders.into_keys().next().expect("there is one");
    let distinct: std::collections::HashSet<_> = told.iter().collect();
    assert_eq!(distinct.len(), told.len(), "nothing twice");
}
