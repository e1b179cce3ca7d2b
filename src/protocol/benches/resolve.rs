//! CPU time of state resolution in a room of 10,000 state events with 20 forks.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hint::black_box,
};

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use protocol::{
    authorize::{AuthEvent, auth_types},
    resolve::{Conflicts, StateSet, resolve, resolve_conflicts},
    room_version::rules,
};
use ruma::{
    EventId, OwnedEventId, RoomVersionId, room_version_rules::RoomVersionRules,
    state_res::Event as _,
};
use serde_json::{Value, json};

const STATE_EVENTS: usize = 10_000;
const FORKS: usize = 20;
/// What each fork sends.
const SENT: usize = 25;

struct Room {
    rules: &'static RoomVersionRules,
    events: HashMap<OwnedEventId, AuthEvent>,
    forks: Vec<StateSet>,
}

impl Room {
    fn new(version: &RoomVersionId) -> Self {
        let mut room = Self {
            rules: rules(version).expect("rules"),
            events: HashMap::new(),
            forks: Vec::new(),
        };
        let mut state = StateSet::new();
        let mut users = serde_json::Map::new();
        if *version != RoomVersionId::V12 {
            users.insert(user(0), json!(100));
        }
        users.extend((1..50).map(|number| (user(number), json!(50))));
        let join = json!({ "membership": "join" });
        let create = json!({ "room_version": version.as_str(), "creator": user(0) });
        room.send(&mut state, "m.room.create", "", 0, &create);
        room.send(&mut state, "m.room.member", &user(0), 0, &join);
        let levels = json!({ "users": users });
        room.send(&mut state, "m.room.power_levels", "", 0, &levels);
        let rule = json!({ "join_rule": "public" });
        room.send(&mut state, "m.room.join_rules", "", 0, &rule);
        for number in 1..STATE_EVENTS - 3 - FORKS * SENT {
            room.send(&mut state, "m.room.member", &user(number), number, &join);
        }
        for fork in 0..FORKS {
            let mut state = state.clone();
            room.fork(&mut state, fork, &levels);
            room.forks.push(state);
        }
        room
    }

    /// What happens in a busy room: joins, profiles, names, bans, power levels.
    fn fork(&mut self, state: &mut StateSet, fork: usize, levels: &Value) {
        let moderator = 1 + fork;
        for number in 0..SENT {
            let other = 100 + fork * SENT + number;
            let member = |membership| json!({ "membership": membership, "displayname": fork });
            match number % 5 {
                0 => {
                    let new = 20_000 + other;
                    self.send(state, "m.room.member", &user(new), new, &member("join"));
                }
                1 | 2 => self.send(state, "m.room.member", &user(other), other, &member("join")),
                3 => self.send(
                    state,
                    "m.room.member",
                    &user(other),
                    moderator,
                    &member("ban"),
                ),
                _ => self.send(
                    state,
                    "m.room.topic",
                    "",
                    moderator,
                    &json!({ "topic": fork }),
                ),
            }
        }
        let mut levels = levels.clone();
        levels["users"][user(60 + fork)] = json!(50);
        self.send(state, "m.room.power_levels", "", 0, &levels);
    }

    fn send(
        &mut self,
        state: &mut StateSet,
        kind: &str,
        key: &str,
        sender: usize,
        content: &Value,
    ) {
        let is_12 = self.rules.authorization.room_create_event_id_as_room_id;
        let number = self.events.len();
        let id = |number: usize| OwnedEventId::try_from(format!("${number:0>43}")).expect("an id");
        let mut json = json!({
            "auth_events": [], "content": content, "depth": number, "origin_server_ts": number, "prev_events": [],
            "sender": user(sender), "state_key": key, "type": kind,
        });
        if !is_12 {
            json["room_id"] = json!("!room:example.org");
        } else if kind != "m.room.create" {
            json["room_id"] = json!(format!("!{:0>43}", 0));
        }
        let event = AuthEvent::parse(id(number), &json.to_string()).expect("an event");
        let types = auth_types(self.rules, &event).expect("types");
        let auth_events: Vec<_> = types.iter().filter_map(|pair| state.get(pair)).collect();
        json["auth_events"] = json!(auth_events);
        let event = AuthEvent::parse(id(number), &json.to_string()).expect("an event");
        state.insert((kind.into(), key.to_owned()), id(number));
        self.events.insert(id(number), event);
    }

    fn event(&self, id: &EventId) -> Option<AuthEvent> {
        self.events.get(id).cloned()
    }

    fn chains(&self) -> Vec<HashSet<OwnedEventId>> {
        let chain_of = |state: &StateSet| {
            let mut chain = HashSet::new();
            let mut open: Vec<OwnedEventId> = state.values().cloned().collect();
            while let Some(id) = open.pop() {
                for id in self.events[&id].auth_events() {
                    if chain.insert(id.clone()) {
                        open.push(id.clone());
                    }
                }
            }
            chain
        };
        self.forks.iter().map(chain_of).collect()
    }

    /// What differs between the forks, as a caller knows it that compares states by their structure.
    fn conflicts(&self) -> (StateSet, Conflicts) {
        let mut conflicts = Conflicts::default();
        let mut unconflicted = StateSet::new();
        for (pair, id) in self.forks.iter().flatten() {
            let found: BTreeSet<_> = self
                .forks
                .iter()
                .filter_map(|fork| fork.get(pair))
                .collect();
            let is_everywhere = self.forks.iter().all(|fork| fork.contains_key(pair));
            if found.len() == 1 && is_everywhere {
                unconflicted.insert(pair.clone(), id.clone());
            } else {
                let found = found.into_iter().cloned().collect();
                conflicts.conflicted.insert(pair.clone(), found);
            }
        }
        let chains = self.chains();
        let all: HashSet<_> = chains.iter().flatten().cloned().collect();
        let is_partial = |id: &OwnedEventId| chains.iter().any(|chain| !chain.contains(id));
        conflicts.auth_difference = all.into_iter().filter(is_partial).collect();
        (unconflicted, conflicts)
    }
}

fn user(number: usize) -> String {
    format!("@user{number}:example.org")
}

fn resolution(criterion: &mut Criterion) {
    for version in [RoomVersionId::V1, RoomVersionId::V11, RoomVersionId::V12] {
        let room = Room::new(&version);
        let (unconflicted, conflicts) = room.conflicts();
        let count: usize = conflicts.conflicted.values().map(BTreeSet::len).sum();
        criterion.bench_function(
            &format!("whole states of version {version}, {count} of 10,000 events in conflict"),
            |bencher| {
                bencher.iter_batched(
                    || room.chains(),
                    |chains| {
                        resolve(room.rules, black_box(&room.forks), chains, |id| {
                            room.event(id)
                        })
                    },
                    BatchSize::LargeInput,
                );
            },
        );
        criterion.bench_function(
            &format!("conflicts of version {version} alone"),
            |bencher| {
                bencher.iter(|| {
                    let base = |pair: &_| unconflicted.get(pair).cloned();
                    resolve_conflicts(room.rules, black_box(&conflicts), base, |id| room.event(id))
                        .expect("a state")
                });
            },
        );
    }
}

criterion_group!(benches, resolution);
criterion_main!(benches);
