//! Random histories with forks: the resolution is that of the plain model and that of ruma.

use std::collections::HashMap;

use proptest::{prelude::*, sample::Index};
use ruma::{
    EventId, OwnedEventId, RoomVersionId, UserId,
    room_version_rules::RoomVersionRules,
    state_res::{StateMap, utils::event_id_set::EventIdSet},
};
use serde_json::{Value, json};

use super::{
    super::{Conflicts, Events, StateSet, difference, resolve_conflicts, split::split, v2},
    plain::Plain,
    room::{Room, pair},
};

const USERS: [&str; 4] = ["@alice:x", "@bob:x", "@carol:x", "@dave:x"];

#[derive(Clone, Debug)]
struct Step {
    sender: Index,
    target: Index,
    action: u8,
    ts: i64,
    /// Makes ids that have no order.
    salt: u16,
    /// The events after which it is sent.
    after: [Index; 2],
    is_merge: bool,
}

fn step() -> impl Strategy<Value = Step> {
    (
        (any::<Index>(), any::<Index>(), 0..12_u8),
        (20..24_i64, any::<u16>()),
        (any::<[Index; 2]>(), proptest::bool::weighted(0.2)),
    )
        .prop_map(
            |((sender, target, action), (ts, salt), (after, is_merge))| Step {
                sender,
                target,
                action,
                ts,
                salt,
                after,
                is_merge,
            },
        )
}

impl Step {
    /// Type, state key and content.
    fn event(&self, is_12: bool) -> (&'static str, String, Value) {
        let (sender, target) = (*self.sender.get(&USERS), *self.target.get(&USERS));
        let member = |user: &str, membership: &str| {
            let content = json!({ "membership": membership, "n": self.salt });
            ("m.room.member", user.to_owned(), content)
        };
        let state = |kind, content| (kind, String::new(), content);
        match self.action {
            0 | 1 => member(sender, "join"),
            2 => member(sender, "leave"),
            3 => member(target, "ban"),
            4 => member(target, "leave"),
            5 => member(target, "invite"),
            6 | 7 => state("m.room.power_levels", self.levels(target, is_12)),
            8 => {
                let rule = ["public", "invite"][usize::from(self.salt % 2)];
                state("m.room.join_rules", json!({ "join_rule": rule }))
            }
            9 => state("m.room.name", json!({ "name": self.salt })),
            _ => state("m.room.topic", json!({ "topic": self.salt })),
        }
    }

    fn levels(&self, target: &str, is_12: bool) -> Value {
        let mut levels = json!({ "users": { "@bob:x": 50 }, "users_default": self.salt % 3 * 25 });
        if !is_12 {
            levels["users"]["@alice:x"] = json!(100);
        }
        if !is_12 || target != "@alice:x" {
            levels["users"][target] = json!(self.ts % 4 * 25);
        }
        levels
    }
}

/// A room with the states after each of its events.
fn history(version: &RoomVersionId, steps: &[Step]) -> (Room, Vec<StateSet>) {
    let mut room = Room::new(version);
    let mut states = vec![room.public_chat()];
    for (number, step) in steps.iter().enumerate() {
        // Mostly short forks: after one of the last few events.
        let recent = &states[states.len().saturating_sub(5)..];
        let mut before = step.after[0].get(recent).clone();
        if step.is_merge {
            before = Plain(&room).resolve(&[before, step.after[1].get(recent).clone()]);
        }
        let (kind, key, content) = step.event(*version == RoomVersionId::V12);
        let sender = *step.sender.get(&USERS);
        let user = <&UserId>::try_from(sender).expect("a user id");
        if kind != "m.room.member" && !room.is_joined(&before, user) {
            continue;
        }
        let name = format!("{:04x}-{number}", step.salt);
        room.state.clone_from(&before);
        room.add(&name, kind, &key, sender, step.ts, &content);
        let id = room.id(&name);
        let event = room.event(&id).expect("just added");
        if Plain(&room).is_allowed(&before, &event) {
            before.insert(pair(kind, &key), id);
            states.push(before);
        }
    }
    (room, states)
}

/// States of some of the events. Some are stale at some places: other servers may have sent them so.
fn chosen(states: &[StateSet], choices: &[(Index, Vec<(Index, Index)>)]) -> Vec<StateSet> {
    let choose = |(state, stale): &(Index, Vec<(Index, Index)>)| {
        let mut state = state.get(states).clone();
        for (older, place) in stale {
            let older = older.get(states);
            let (pair, id) = older.iter().nth(place.index(older.len())).expect("a place");
            state.insert(pair.clone(), id.clone());
        }
        state
    };
    choices.iter().map(choose).collect()
}

fn choices() -> impl Strategy<Value = Vec<(Index, Vec<(Index, Index)>)>> {
    let stale = proptest::collection::vec(any::<(Index, Index)>(), 0..4);
    proptest::collection::vec((any::<Index>(), stale), 2..4)
}

fn by_ruma(room: &Room, sets: &[StateSet]) -> StateSet {
    let maps: Vec<StateMap<OwnedEventId>> = sets
        .iter()
        .map(|set| set.clone().into_iter().collect())
        .collect();
    let chains: Vec<EventIdSet<OwnedEventId>> = room
        .chains(sets)
        .into_iter()
        .map(|chain| chain.into_iter().collect())
        .collect();
    let lookup = |id: &EventId| room.event(id);
    let resolved = ruma::state_res::resolve(
        &room.rules.authorization,
        room.rules.state_res.v2_rules().expect("version 2"),
        &maps,
        chains,
        lookup,
        |conflicted| {
            let conflicted = conflicted.values().flatten().cloned().collect();
            let found = v2::subgraph(&conflicted, &Events::new(&lookup)).ok()?;
            Some(found.into_iter().collect())
        },
    );
    resolved.expect("a state").into_iter().collect()
}

fn version_2() -> impl Strategy<Value = RoomVersionId> {
    proptest::sample::select(vec![
        RoomVersionId::V2,
        RoomVersionId::V6,
        RoomVersionId::V11,
        RoomVersionId::V12,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn the_resolution_is_that_of_the_specification_and_of_ruma(
        version in version_2(),
        steps in proptest::collection::vec(step(), 4..30),
        choices in choices(),
    ) {
        let (room, states) = history(&version, &steps);
        let mut sets = chosen(&states, &choices);
        let resolved = room.resolve(&sets).expect("a state");
        prop_assert_eq!(&resolved, &Plain(&room).resolve(&sets));
        prop_assert_eq!(&resolved, &by_ruma(&room, &sets));

        // The order of the states does not matter, and handing over only the difference gives the same.
        let (unconflicted, conflicted) = split(room.rules, &sets);
        let auth_difference = difference(room.chains(&sets));
        let conflicts = Conflicts { conflicted, auth_difference };
        let base = |pair: &_| unconflicted.get(pair).cloned();
        let changes = resolve_conflicts(room.rules, &conflicts, base, |id| room.event(id));
        let mut changed = unconflicted.clone();
        changed.extend(changes.expect("a state"));
        prop_assert_eq!(&changed, &resolved);
        sets.reverse();
        prop_assert_eq!(room.resolve(&sets), Ok(resolved));
    }

    #[test]
    fn version_1_is_independent_of_order(
        steps in proptest::collection::vec(step(), 4..30),
        choices in choices(),
    ) {
        // Histories need the plain model, which only the later algorithm has.
        let (room, states) = history(&RoomVersionId::V2, &steps);
        let mut sets = chosen(&states, &choices);
        let resolve = |sets: &[StateSet]| {
            super::resolve(&RoomVersionRules::V1, sets, Vec::new(), |id| room.event(id))
        };
        let resolved = resolve(&sets).expect("a state");
        let mut places = HashMap::new();
        for (pair, id) in sets.iter().flatten() {
            places.entry(pair.clone()).or_insert_with(Vec::new).push(id.clone());
        }
        prop_assert_eq!(resolved.len(), places.len(), "no place is lost or invented");
        for (pair, id) in &resolved {
            prop_assert!(places[pair].contains(id));
        }
        sets.rotate_left(1);
        prop_assert_eq!(resolve(&sets), Ok(resolved));
    }
}

/// `RESOLVE_CASES` runs more by hand.
fn cases() -> u32 {
    let cases = std::env::var("RESOLVE_CASES").ok();
    cases.and_then(|cases| cases.parse().ok()).unwrap_or(2_000)
}
