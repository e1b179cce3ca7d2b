//! The algorithm of room versions 2 and 12, written from the specification without regard to its cost: the model with which the
//! real one is compared.
//!
//! In one point the model follows what other servers do: an auth chain is not followed beyond the full conflicted set when power
//! events are selected and ordered. This matters only in version 2.0 and for states that are older than their events.

use std::{cmp::Reverse, collections::BTreeSet};

use ruma::{
    Int, OwnedEventId, UserId,
    events::{TimelineEventType, room::power_levels::UserPowerLevel},
    state_res::Event as _,
};
use serde_json::Value;

use super::{
    super::{StatePair, StateSet},
    room::{Room, pair},
};
use crate::authorize::{AuthEvent, auth_types, authorize};

type Ids = BTreeSet<OwnedEventId>;

pub(super) struct Plain<'r>(pub(super) &'r Room);

impl Plain<'_> {
    pub(super) fn resolve(&self, sets: &[StateSet]) -> StateSet {
        let (unconflicted, conflicted) = split(sets);
        if conflicted.is_empty() {
            return unconflicted;
        }
        let full = self.full_conflicted_set(sets, &conflicted);

        let power: Ids = full
            .iter()
            .filter(|id| self.is_power_event(id))
            .cloned()
            .collect();
        let mut chosen = power.clone();
        for id in &power {
            chosen.extend(self.chain_within(id, &full));
        }
        let first = self.power_ordering(&chosen);
        let start = match self.is_2_1() {
            true => StateSet::new(),
            false => unconflicted.clone(),
        };
        let state = self.auth_checks(start, &first);

        let rest: Vec<OwnedEventId> = full.difference(&chosen).cloned().collect();
        let levels = state.get(&pair("m.room.power_levels", "")).cloned();
        let second = self.mainline_ordering(rest, levels);
        let mut state = self.auth_checks(state, &second);
        state.extend(unconflicted);
        state
    }

    fn is_2_1(&self) -> bool {
        let rules = self.0.rules.state_res.v2_rules().expect("version 2");
        rules.consider_conflicted_state_subgraph
    }

    fn event(&self, id: &OwnedEventId) -> AuthEvent {
        self.0.event(id).expect("an event")
    }

    fn auth_events(&self, id: &OwnedEventId) -> Vec<OwnedEventId> {
        self.event(id).auth_events().cloned().collect()
    }

    fn chain(&self, id: &OwnedEventId) -> Ids {
        self.chain_where(id, |_| true)
    }

    fn chain_within(&self, id: &OwnedEventId, ids: &Ids) -> Ids {
        self.chain_where(id, |id| ids.contains(id))
    }

    fn chain_where(&self, id: &OwnedEventId, follows: impl Fn(&OwnedEventId) -> bool) -> Ids {
        let mut chain = Ids::new();
        let mut open = vec![id.clone()];
        while let Some(id) = open.pop() {
            for auth_event in self.auth_events(&id) {
                if follows(&auth_event) && chain.insert(auth_event.clone()) {
                    open.push(auth_event);
                }
            }
        }
        chain
    }

    fn full_conflicted_set(&self, sets: &[StateSet], conflicted: &Ids) -> Ids {
        let chains: Vec<Ids> = sets
            .iter()
            .map(|set| set.values().flat_map(|id| self.chain(id)).collect())
            .collect();
        let all: Ids = chains.iter().flatten().cloned().collect();
        let is_in_all = |id: &OwnedEventId| chains.iter().all(|chain| chain.contains(id));
        let mut full: Ids = all.iter().filter(|id| !is_in_all(id)).cloned().collect();
        if self.is_2_1() {
            // On a path: reached from a conflicted event, and reaching one.
            full.extend(all.into_iter().filter(|id| {
                conflicted.iter().any(|from| self.chain(from).contains(id))
                    && !self.chain(id).is_disjoint(conflicted)
            }));
        }
        full.extend(conflicted.iter().cloned());
        full
    }

    fn is_power_event(&self, id: &OwnedEventId) -> bool {
        let event = self.event(id);
        let content: Value = serde_json::from_str(event.content()).expect("JSON");
        match event.kind() {
            TimelineEventType::RoomPowerLevels | TimelineEventType::RoomJoinRules => true,
            TimelineEventType::RoomMember => {
                (content["membership"] == "leave" || content["membership"] == "ban")
                    && event.state_key() != Some(event.sender().as_str())
            }
            _ => false,
        }
    }

    fn levels_of(&self, id: &OwnedEventId) -> Option<OwnedEventId> {
        let mut auth_events = self.auth_events(id).into_iter();
        auth_events.find(|id| *self.event(id).kind() == TimelineEventType::RoomPowerLevels)
    }

    fn sender_level(&self, id: &OwnedEventId) -> UserPowerLevel {
        let event = self.event(id);
        let sender: &UserId = event.sender();
        if self.is_2_1() && sender == "@alice:x" {
            return UserPowerLevel::Infinite;
        }
        let Some(levels) = self.levels_of(id) else {
            return Int::from(if sender == "@alice:x" { 100 } else { 0 }).into();
        };
        let content: Value = serde_json::from_str(self.event(&levels).content()).expect("JSON");
        let level = content["users"][sender.as_str()].as_i64();
        let level = level.or(content["users_default"].as_i64()).unwrap_or(0);
        Int::try_from(level).expect("a level").into()
    }

    /// At each step, the least of the events whose auth events are all taken.
    fn power_ordering(&self, all: &Ids) -> Vec<OwnedEventId> {
        let mut order = Vec::new();
        let mut open = all.clone();
        while !open.is_empty() {
            let key = |id: &OwnedEventId| {
                let ts = self.event(id).origin_server_ts();
                (Reverse(self.sender_level(id)), ts, id.clone())
            };
            let next = open
                .iter()
                .filter(|id| self.chain_within(id, all).is_disjoint(&open))
                .min_by_key(|id| key(id))
                .cloned()
                .expect("no cycle");
            open.remove(&next);
            order.push(next);
        }
        order
    }

    fn mainline_ordering(
        &self,
        mut ids: Vec<OwnedEventId>,
        levels: Option<OwnedEventId>,
    ) -> Vec<OwnedEventId> {
        let mut line = Vec::new();
        let mut next = levels;
        while let Some(id) = next {
            next = self.levels_of(&id);
            line.push(id);
        }
        ids.sort_by_key(|id| {
            let mut at = self.levels_of(id);
            let mut position = usize::MAX;
            while let Some(levels) = at {
                if let Some(found) = line.iter().position(|id| *id == levels) {
                    position = found;
                    break;
                }
                at = self.levels_of(&levels);
            }
            let ts = self.event(id).origin_server_ts();
            (Reverse(position), ts, id.clone())
        });
        ids
    }

    fn auth_checks(&self, mut state: StateSet, order: &[OwnedEventId]) -> StateSet {
        for id in order {
            let event = self.event(id);
            if self.is_allowed(&state, &event) {
                state.insert(event.state_pair().expect("a state event"), id.clone());
            }
        }
        state
    }

    /// Whether an event is allowed in a state, or by its auth events where the state has nothing.
    pub(super) fn is_allowed(&self, state: &StateSet, event: &AuthEvent) -> bool {
        let Ok(types) = auth_types(self.0.rules, event) else {
            return false;
        };
        authorize(self.0.rules, event, |kind, key| {
            let asked: StatePair = (kind.clone(), key.to_owned());
            if asked == pair("m.room.create", "") {
                return self.0.event(&self.0.id("create"));
            }
            let from_state = state.get(&asked).filter(|_| types.contains(&asked));
            let own = || {
                let mut own = event.auth_events();
                own.find(|id| self.event(id).state_pair().as_ref() == Some(&asked))
            };
            self.0.event(from_state.or_else(own)?)
        })
        .is_ok()
    }
}

fn split(sets: &[StateSet]) -> (StateSet, Ids) {
    let mut unconflicted = StateSet::new();
    let mut conflicted = Ids::new();
    for (pair, id) in sets.iter().flatten() {
        if sets.iter().all(|set| set.get(pair) == Some(id)) {
            unconflicted.insert(pair.clone(), id.clone());
        } else {
            conflicted.insert(id.clone());
        }
    }
    (unconflicted, conflicted)
}
