//! A client that follows `/sync` of a server whose room forks, merges and changes its state by resolution: it ends with what the
//! server holds. Keys of the state that resolution left without an event cannot be announced, and are left out.

use std::{collections::BTreeMap, time::Duration};

use devices::{Devices, Limits};
use presence::{Presence, SetPresence};
use push::{Push, PushConfig};
use rooms_store::Membership;
use rooms_testing::graph::Net;
use ruma::{OwnedUserId, RoomVersionId};
use serde_json::Value;
use sync::{Filter, StateAfter, Sync, SyncConfig, SyncNeeds, SyncRequest};

use crate::world::{NO_PRESENCE, events, next_batch};

const SEEDS: u64 = 60;
const STEPS: usize = 60;

type State = BTreeMap<(String, String), String>;

/// A client of one user of the first server.
struct Client {
    user_id: OwnedUserId,
    user: database::UserNumber,
    state_after: StateAfter,
    since: Option<String>,
    section: String,
    state: State,
    /// Events since the last gap.
    timeline: Vec<String>,
}

impl Client {
    async fn new(net: &Net, user_id: &OwnedUserId, state_after: StateAfter) -> Self {
        let rooms = &net.nodes[0].rooms;
        let db = rooms.rooms.snapshot().await.expect("a snapshot");
        let user = rooms.users.number(&db, user_id).await.expect("a read");
        Self {
            user_id: user_id.clone(),
            user: user.expect("a user"),
            state_after,
            since: None,
            section: String::new(),
            state: State::new(),
            timeline: Vec::new(),
        }
    }

    async fn sync(&mut self, net: &Net, sync: &Sync) {
        let request = SyncRequest {
            user_id: self.user_id.clone(),
            user: self.user,
            device: "DEVICE".into(),
            since: self
                .since
                .as_deref()
                .map(|since| since.parse().expect("a token")),
            filter: Filter::everything(),
            full_state: false,
            state_after: self.state_after,
            timeout: Duration::ZERO,
            set_presence: SetPresence::Online,
            online: false,
        };
        let answer = sync.sync(request).await.expect("an answer");
        let answer: Value = serde_json::from_slice(&answer).expect("JSON");
        self.since = Some(next_batch(&answer));
        for section in ["join", "leave", "invite"] {
            let told = &answer["rooms"][section][net.room_id.as_str()];
            if told.is_object() {
                self.apply(section, told);
            }
        }
    }

    fn apply(&mut self, section: &str, told: &Value) {
        if section == "join" && self.section != "join" {
            self.state.clear();
            self.timeline.clear();
        }
        section.clone_into(&mut self.section);
        let timeline = events(&told["timeline"]);
        let applied = match self.state_after {
            StateAfter::No => [events(&told["state"]), timeline.clone()].concat(),
            _ => events(&told["state_after"]),
        };
        for event in &applied {
            if let Some(key) = event["state_key"].as_str() {
                let kind = event["type"].as_str().expect("a type").to_owned();
                let id = event["event_id"].as_str().expect("an id").to_owned();
                self.state.insert((kind, key.to_owned()), id);
            }
        }
        if told["timeline"]["limited"] == true {
            self.timeline.clear();
        }
        for event in timeline {
            let id = event["event_id"].as_str().expect("an id").to_owned();
            assert!(!self.timeline.contains(&id), "{id} came twice");
            self.timeline.push(id);
        }
    }
}

async fn play(seed: u64) -> usize {
    let versions = [RoomVersionId::V12, RoomVersionId::V10, RoomVersionId::V6];
    let version = versions[usize::try_from(seed % 3).expect("small")].clone();
    let mut net = Net::new(seed, 3, version).await;
    let people = net.populate().await;
    let first = &net.nodes[0].rooms;
    let push = Push::open(
        first.history.clone(),
        &PushConfig::default(),
        first.tasks.clone(),
    );
    let presence = Presence::open(
        first.history.rooms().clone(),
        first.clock.clone(),
        &NO_PRESENCE,
        &first.tasks,
        first.stop.clone(),
    );
    let needs = SyncNeeds {
        history: first.history.clone(),
        typing: first.writer.typing().clone(),
        devices: Devices::new(first.store.clone(), first.clock.clone(), Limits::default()),
        push,
        presence: presence.await.expect("presence opens"),
    };
    let sync = Sync::open(
        needs,
        SyncConfig::default(),
        &first.tasks,
        first.stop.clone(),
    );
    let sync = sync.await.expect("sync opens");
    let mut clients = Vec::new();
    for (_, user) in people.iter().filter(|(at, _)| *at == 0) {
        for state_after in [StateAfter::No, StateAfter::Stable] {
            clients.push(Client::new(&net, user, state_after).await);
        }
    }
    for _ in 0..STEPS {
        net.step(&people).await;
        let chosen = net.pick(2 * clients.len());
        if let Some(client) = clients.get_mut(chosen) {
            client.sync(&net, &sync).await;
        }
    }
    net.heal().await;
    let mut unannounced = 0;
    for client in &mut clients {
        client.sync(&net, &sync).await;
        unannounced += check(&net, seed, client).await;
    }
    unannounced
}

/// The client's state is the server's; how many keys it holds that the server has no event for.
async fn check(net: &Net, seed: u64, client: &Client) -> usize {
    let server = &net.nodes[0].rooms;
    let member = server.membership(&net.room_id, &client.user_id).await;
    if member != Some(Membership::Join) {
        assert_ne!(client.section, "join", "seed {seed}: {}", client.user_id);
        return 0;
    }
    assert_eq!(client.section, "join", "seed {seed}: {}", client.user_id);
    let state = net.state(0).await;
    for (key, id) in &state {
        assert_eq!(
            client.state.get(key).map(String::as_str),
            Some(id.as_str()),
            "seed {seed}: {key:?} at {} with {:?}",
            client.user_id,
            client.state_after
        );
    }
    client
        .state
        .keys()
        .filter(|key| !state.contains_key(key))
        .count()
}

#[tokio::test]
async fn clients_follow_a_room_that_forks() {
    let count = std::env::var("GRAPH_SEEDS").ok();
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(SEEDS);
    let mut unannounced = 0;
    for seed in 0..count {
        unannounced += play(seed).await;
    }
    println!("{unannounced} keys without an event in {count} histories");
}
