//! Rooms as graphs: several servers, parted and healed, with bans, power level fights, joins, leaves and forks. When all
//! events are everywhere, everybody has the same room.

use rooms_store::Verdict;
use rooms_testing::graph::Net;
use ruma::{OwnedUserId, RoomVersionId};

const SERVERS: usize = 3;
const STEPS: usize = 40;

/// How many histories are played: `GRAPH_SEEDS`, or a number that keeps the whole run short.
fn seeds() -> std::ops::Range<u64> {
    let count = std::env::var("GRAPH_SEEDS").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(60);
    let first = std::env::var("GRAPH_FIRST_SEED").ok();
    let first = first.and_then(|first| first.parse().ok()).unwrap_or(0);
    first..first + count
}

/// Plays one history; whether all servers ended with the same extremities.
async fn play(seed: u64, version: RoomVersionId) -> bool {
    let mut net = Net::new(seed, SERVERS, version).await;
    let people = net.populate().await;
    for _ in 0..STEPS {
        net.step(&people).await;
    }
    net.heal().await;
    // An event of each server that follows what it holds: then everybody has followed everything.
    for at in 0..SERVERS {
        for (home, user) in &people {
            if *home == at && net.say(at, user, "last words").await {
                break;
            }
        }
        net.heal().await;
    }
    check(&net, seed, &people).await
}

/// Everybody holds the same events, has rejected the same, and has the same state.
async fn check(net: &Net, seed: u64, people: &[(usize, OwnedUserId)]) -> bool {
    let mut parted = Vec::new();
    let first = net.verdicts(0).await;
    let state = net.state(0).await;
    for at in 1..SERVERS {
        let verdicts = net.verdicts(at).await;
        let rejected = |verdict: &Verdict| matches!(verdict, Verdict::Rejected(_));
        for (id, verdict) in &verdicts {
            let there = first.get(id);
            assert!(
                there.is_some(),
                "seed {seed}: {id} of server {at} is unknown to server 0"
            );
            let there = there.expect("just seen");
            assert_eq!(
                rejected(verdict),
                rejected(there),
                "seed {seed}: {id}: {verdict:?} at {at}, {there:?} at 0"
            );
        }
        // With the same extremities, everybody resolves the same state.
        if net.extremities(at).await == net.extremities(0).await {
            assert_eq!(net.state(at).await, state, "seed {seed}: server {at}");
        } else {
            check_extremities(net, at, seed).await;
            parted.push(at);
        }
    }
    for at in 0..SERVERS {
        check_members(net, at, seed, people).await;
    }
    parted.is_empty()
}

/// Extremities differ only where a server soft-failed an event: that depends on the order of arrival, and lasts where nobody
/// is left to send an event after it.
async fn check_extremities(net: &Net, at: usize, seed: u64) {
    let mut soft_failed = 0;
    for whose in [0, at] {
        let verdicts = net.verdicts(whose).await.into_values();
        soft_failed += verdicts
            .filter(|verdict| matches!(verdict, Verdict::SoftFailed(_)))
            .count();
    }
    assert!(
        soft_failed > 0,
        "seed {seed}: server {at} has other extremities"
    );
}

/// What is derived from the state says the same as the state.
async fn check_members(net: &Net, at: usize, seed: u64, people: &[(usize, OwnedUserId)]) {
    let members = net.members(at).await;
    let server = &net.nodes[at].rooms;
    for (_, user) in people {
        let row = server.membership(&net.room_id, user).await;
        let word = row.map(rooms_store::Membership::as_str);
        assert_eq!(
            word,
            members.get(user.as_str()).map(String::as_str),
            "seed {seed}: {user} at {at}"
        );
    }
    let db = server.rooms.snapshot().await.expect("a snapshot");
    let room = server
        .rooms
        .require(&db, &net.room_id)
        .await
        .expect("a room");
    let head = server.rooms.head(&db, room).await.expect("a head");
    let joined = members.values().filter(|word| *word == "join").count();
    assert_eq!(head.joined, joined as u64, "seed {seed}: server {at}");
}

#[tokio::test]
async fn parted_servers_come_to_the_same_room() {
    let mut converged = 0;
    for seed in seeds() {
        let versions = [RoomVersionId::V12, RoomVersionId::V11, RoomVersionId::V6];
        let version = versions[usize::try_from(seed % 3).expect("small")].clone();
        converged += u64::from(play(seed, version).await);
    }
    let all = seeds().end - seeds().start;
    assert!(
        converged * 10 >= all * 9,
        "only {converged} of {all} converged"
    );
}
