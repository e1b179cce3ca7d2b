//! Every stored node of the state is part of the state before some event, or of the current one: there is nothing to sweep.

use std::collections::HashSet;

use database::{Random, Read, SeededRandom, StoreError};
use futures_util::future::join_all;
use rooms_store::{state_map::STATE_NODES, tables::EVENTS};
use rooms_writer::Change;
use ruma::{OwnedRoomId, OwnedUserId};
use serde_json::json;

use rooms_testing::TestRooms;

const HISTORIES: u64 = 20;
const STEPS: usize = 60;

/// How many nodes a room has, and how many of them no event leads to. A node names its children by their hashes.
async fn nodes_and_orphans(house: &TestRooms, room_id: &OwnedRoomId) -> (usize, usize) {
    let db = house.rooms.snapshot().await.expect("a snapshot");
    let room = house.rooms.require(&db, room_id).await.expect("a room");
    let nodes = db.page(STATE_NODES.under(room), usize::MAX).await;
    let mut unreached: Vec<_> = nodes
        .expect("the nodes")
        .into_iter()
        .map(|((_, hash), bytes)| (hash, bytes))
        .collect();
    let count = unreached.len();
    let events = db.page(EVENTS.under(room), usize::MAX).await;
    let head = house.rooms.head(&db, room).await.expect("a head");
    let mut names: HashSet<[u8; 16]> = events
        .expect("the events")
        .into_iter()
        .filter_map(|(_, event)| event.value.place.placement().copied())
        .flat_map(|placement| [placement.state_before.0, placement.after().0])
        .chain([head.state.0])
        .collect();
    loop {
        let (reached, rest): (Vec<_>, Vec<_>) = unreached
            .into_iter()
            .partition(|(hash, _)| names.contains(hash));
        unreached = rest;
        if reached.is_empty() {
            return (count, unreached.len());
        }
        for (_, bytes) in reached {
            names.extend(
                bytes
                    .windows(16)
                    .map(|hash| <[u8; 16]>::try_from(hash).expect("sixteen bytes")),
            );
        }
    }
}

/// Many at once, of which some are refused, while the database has conflicts and failures.
async fn step(
    house: &TestRooms,
    room: &OwnedRoomId,
    people: &[OwnedUserId],
    random: &SeededRandom,
) {
    let pick = |below: usize| usize::try_from(random.u64() % below as u64).expect("small");
    let faults = house.memory().faults();
    match pick(4) {
        0 => faults.fail_next(1 + pick(3), &StoreError::Conflict),
        1 => faults.fail_next(1, &StoreError::Unavailable("disk full".to_owned())),
        _ => {}
    }
    let changes = (0..=pick(6)).map(|_| {
        let person = &people[pick(people.len())];
        let key = pick(40).to_string();
        let content = json!({ "value": pick(4) });
        let what = pick(8);
        async move {
            match what {
                0 => drop(house.join(room, person).await),
                1 => drop(house.change(room, person, person, Change::Leave).await),
                2 => drop(house.say(room, person, "hello").await),
                _ => drop(house.set(room, person, "org.example", &key, content).await),
            }
        }
    });
    join_all(changes).await;
}

#[tokio::test]
async fn no_node_is_stored_that_no_event_leads_to() {
    for seed in 0..HISTORIES {
        println!("history {seed}");
        let random = SeededRandom::new(seed);
        let house = TestRooms::new().await;
        let people = house.people(["alice", "bob", "carol"]).await;
        let room = house.public_room(&people[0]).await;
        let open = json!({ "users_default": 100 });
        let levels = house.set(&room, &people[0], "m.room.power_levels", "", open);
        levels.await.expect("her room");
        for _ in 0..STEPS {
            step(&house, &room, &people, &random).await;
        }

        let (nodes, orphans) = nodes_and_orphans(&house, &room).await;

        assert!(nodes > 40, "the state has grown: {nodes} nodes");
        assert_eq!(orphans, 0);
    }
}
