//! The rules of a room's graph in their plainest form, from the specification ("Room state resolution" of room versions 2 and
//! 12, "Checks performed on receipt of a PDU"): whole states, recursive auth chains, no regard to cost. Only the authorization
//! rules themselves are shared with the server.
//!
//! As other servers do, an auth chain is not followed beyond the full conflicted set where power events are ordered.

use std::{
    cell::RefCell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use protocol::authorize::{
    AuthEvent, auth_state, auth_types, authorize, check_auth_events, create_event_id,
};
use ruma::{EventId, OwnedEventId, room_version_rules::RoomVersionRules, state_res::Event as _};
use serde_json::Value;

/// An event, by its place in the order of event ids.
pub(super) type Id = usize;
type Ids = BTreeSet<Id>;
pub(super) type Pair = (String, String);
pub(super) type State = BTreeMap<Pair, Id>;

pub(super) struct Plain {
    rules: &'static RoomVersionRules,
    events: Vec<AuthEvent>,
    ids: BTreeMap<OwnedEventId, Id>,
    /// For each event that has all its previous events.
    before: BTreeMap<Id, State>,
    after: BTreeMap<Id, State>,
    rejected: BTreeMap<Id, bool>,
    chains: RefCell<BTreeMap<Id, Rc<Ids>>>,
}

impl Plain {
    /// `placed` has the events of the graph, `outliers` those that are only auth events of others.
    pub(super) fn new(
        rules: &'static RoomVersionRules,
        placed: &BTreeMap<OwnedEventId, String>,
        outliers: &BTreeMap<OwnedEventId, String>,
    ) -> Self {
        let mut all = outliers.clone();
        all.extend(placed.clone());
        let parse = |(id, json): (&OwnedEventId, &String)| {
            AuthEvent::parse(id.clone(), json).expect("an event")
        };
        let mut plain = Self {
            rules,
            events: all.iter().map(parse).collect(),
            ids: all.into_keys().enumerate().map(|(n, id)| (id, n)).collect(),
            before: BTreeMap::new(),
            after: BTreeMap::new(),
            rejected: BTreeMap::new(),
            chains: RefCell::default(),
        };
        for id in placed.keys() {
            plain.place(plain.ids[id]);
        }
        plain
    }

    pub(super) fn id(&self, id: &EventId) -> Option<Id> {
        self.ids.get(id).copied()
    }

    pub(super) fn event_id(&self, id: Id) -> &EventId {
        self.events[id].id()
    }

    pub(super) fn event(&self, id: Id) -> &AuthEvent {
        &self.events[id]
    }

    pub(super) fn before(&self, id: Id) -> Option<&State> {
        self.before.get(&id)
    }

    pub(super) fn is_rejected(&self, id: Id) -> bool {
        self.rejected.get(&id).copied().unwrap_or(false)
    }

    /// The state after these events.
    pub(super) fn state_after(&self, ids: &[Id]) -> State {
        let states: Vec<State> = ids.iter().map(|id| self.after[id].clone()).collect();
        self.resolve(&states)
    }

    fn place(&mut self, id: Id) {
        if self.after.contains_key(&id) {
            return;
        }
        let previous: Vec<Id> = self.events[id]
            .prev_events()
            .filter_map(|id| self.id(id))
            .collect();
        for id in &previous {
            self.place(*id);
        }
        let before = self.state_after(&previous);
        let is_rejected = self.is_refused_by_auth(id) || !self.is_allowed_in(&before, id);
        self.rejected.insert(id, is_rejected);
        let mut after = before.clone();
        if let (false, Some((kind, key))) = (is_rejected, self.events[id].state_pair()) {
            after.insert((kind.to_string(), key), id);
        }
        self.before.insert(id, before);
        self.after.insert(id, after);
    }

    /// Whether its own auth events forbid an event.
    fn is_refused_by_auth(&mut self, id: Id) -> bool {
        for auth in self.auth_events(id) {
            if !self.rejected.contains_key(&auth) {
                // Outliers have no state before them.
                let is_rejected = self.is_refused_by_auth(auth);
                self.rejected.insert(auth, is_rejected);
            }
        }
        let event = &self.events[id];
        let fetch = |id: &EventId| {
            let id = self.id(id)?;
            let event = self.events[id].clone();
            Some(match self.is_rejected(id) {
                true => event.rejected(),
                false => event,
            })
        };
        let state = auth_state(self.rules, event, fetch);
        check_auth_events(self.rules, event, fetch).is_err()
            || authorize(self.rules, event, |kind, key| {
                state.get(&(kind.clone(), key.to_owned())).cloned()
            })
            .is_err()
    }

    fn is_allowed_in(&self, state: &State, id: Id) -> bool {
        authorize(self.rules, &self.events[id], |kind, key| {
            let found = state.get(&(kind.to_string(), key.to_owned()));
            found.map(|id| self.events[*id].clone())
        })
        .is_ok()
    }

    /// The resolution of some states.
    fn resolve(&self, states: &[State]) -> State {
        let Some(first) = states.first() else {
            return State::new();
        };
        let (unconflicted, conflicted) = split(states);
        if conflicted.is_empty() {
            return first.clone();
        }
        let full = self.full_conflicted_set(states, &conflicted);
        let mut chosen: Ids = full
            .iter()
            .copied()
            .filter(|id| self.is_power_event(*id))
            .collect();
        for id in chosen.clone() {
            self.add_chain_within(id, &full, &mut chosen);
        }
        let start = match self.is_2_1() {
            true => State::new(),
            false => unconflicted.clone(),
        };
        let state = self.auth_checks(start, &self.power_ordering(&chosen));
        let rest: Vec<Id> = full.difference(&chosen).copied().collect();
        let levels = state.get(&pair("m.room.power_levels", "")).copied();
        let mut state = self.auth_checks(state, &self.mainline_ordering(rest, levels));
        state.extend(unconflicted);
        state
    }

    fn is_2_1(&self) -> bool {
        let rules = self.rules.state_res.v2_rules().expect("version 2");
        rules.consider_conflicted_state_subgraph
    }

    fn auth_events(&self, id: Id) -> Vec<Id> {
        let ids = self.events[id].auth_events();
        ids.filter_map(|id| self.id(id)).collect()
    }

    fn chain(&self, id: Id) -> Rc<Ids> {
        if let Some(chain) = self.chains.borrow().get(&id) {
            return chain.clone();
        }
        let mut chain = Ids::new();
        for auth in self.auth_events(id) {
            chain.insert(auth);
            chain.extend(&*self.chain(auth));
        }
        let chain = Rc::new(chain);
        self.chains.borrow_mut().insert(id, chain.clone());
        chain
    }

    fn add_chain_within(&self, id: Id, ids: &Ids, chain: &mut Ids) {
        for auth in self.auth_events(id) {
            if ids.contains(&auth) && chain.insert(auth) {
                self.add_chain_within(auth, ids, chain);
            }
        }
    }

    fn full_conflicted_set(&self, states: &[State], conflicted: &Ids) -> Ids {
        let chains: Vec<Ids> = states
            .iter()
            .map(|state| {
                let chains = state.values().map(|id| self.chain(*id));
                chains.fold(Ids::new(), |mut all, chain| {
                    all.extend(&*chain);
                    all
                })
            })
            .collect();
        let all: Ids = chains.iter().flatten().copied().collect();
        let is_in_all = |id: &Id| chains.iter().all(|chain| chain.contains(id));
        let mut full: Ids = all.iter().filter(|id| !is_in_all(id)).copied().collect();
        if self.is_2_1() {
            // On a path: reached from a conflicted event, and reaching one.
            full.extend(all.into_iter().filter(|id| {
                conflicted.iter().any(|from| self.chain(*from).contains(id))
                    && !self.chain(*id).is_disjoint(conflicted)
            }));
        }
        full.extend(conflicted);
        full
    }

    fn content(&self, id: Id) -> Value {
        serde_json::from_str(self.events[id].content()).expect("JSON")
    }

    fn is_power_event(&self, id: Id) -> bool {
        let event = &self.events[id];
        match &*event.kind().to_string() {
            "m.room.power_levels" | "m.room.join_rules" => true,
            "m.room.member" => {
                let membership = self.content(id)["membership"].clone();
                (membership == "leave" || membership == "ban")
                    && event.state_key() != Some(event.sender().as_str())
            }
            _ => false,
        }
    }

    fn levels_of(&self, id: Id) -> Option<Id> {
        let mut auth = self.auth_events(id).into_iter();
        auth.find(|id| self.events[*id].kind().to_string() == "m.room.power_levels")
    }

    fn creator(&self) -> &str {
        let create = self.create().expect("a create event");
        self.events[create].sender().as_str()
    }

    fn create(&self) -> Option<Id> {
        let is_create = |event: &AuthEvent| event.kind().to_string() == "m.room.create";
        let named = self.events.iter().find_map(|event| {
            let room_id = event.room_id()?;
            create_event_id(room_id).and_then(|id| self.id(&id))
        });
        named.or_else(|| self.events.iter().position(is_create))
    }

    fn sender_level(&self, id: Id) -> i64 {
        let sender = self.events[id].sender();
        let is_creator = sender == self.creator();
        if self.rules.authorization.explicitly_privilege_room_creators && is_creator {
            return i64::MAX;
        }
        let Some(levels) = self.levels_of(id) else {
            return if is_creator { 100 } else { 0 };
        };
        let content = self.content(levels);
        let level = content["users"][sender.as_str()].as_i64();
        level.or(content["users_default"].as_i64()).unwrap_or(0)
    }

    /// At each step, the least of the events whose auth events are all taken.
    fn power_ordering(&self, all: &Ids) -> Vec<Id> {
        let key = |id: Id| {
            let ts = self.events[id].origin_server_ts();
            (Reverse(self.sender_level(id)), ts, id)
        };
        let mut chains: BTreeMap<Id, Ids> = BTreeMap::new();
        for id in all {
            let mut chain = Ids::new();
            self.add_chain_within(*id, all, &mut chain);
            chains.insert(*id, chain);
        }
        let mut order = Vec::new();
        let mut open = all.clone();
        while !open.is_empty() {
            let ready = open.iter().filter(|id| chains[id].is_disjoint(&open));
            let next = ready.copied().min_by_key(|id| key(*id)).expect("no cycle");
            open.remove(&next);
            order.push(next);
        }
        order
    }

    fn mainline_ordering(&self, mut ids: Vec<Id>, levels: Option<Id>) -> Vec<Id> {
        let mut line = Vec::new();
        let mut next = levels;
        while let Some(id) = next {
            next = self.levels_of(id);
            line.push(id);
        }
        ids.sort_by_key(|id| {
            let mut position = usize::MAX;
            let mut at = self.levels_of(*id);
            while let Some(levels) = at {
                if let Some(found) = line.iter().position(|id| *id == levels) {
                    position = found;
                    break;
                }
                at = self.levels_of(levels);
            }
            let ts = self.events[*id].origin_server_ts();
            (Reverse(position), ts, *id)
        });
        ids
    }

    fn auth_checks(&self, mut state: State, order: &[Id]) -> State {
        for id in order {
            let event = &self.events[*id];
            if self.is_allowed(&state, *id) {
                let (kind, key) = event.state_pair().expect("a state event");
                state.insert((kind.to_string(), key), *id);
            }
        }
        state
    }

    /// Whether an event is allowed in a state, or by its auth events where the state has nothing.
    fn is_allowed(&self, state: &State, id: Id) -> bool {
        let event = &self.events[id];
        let Ok(types) = auth_types(self.rules, event) else {
            return false;
        };
        authorize(self.rules, event, |kind, key| {
            if kind.to_string() == "m.room.create" {
                return self.create().map(|id| self.events[id].clone());
            }
            let is_asked = types.contains(&(kind.clone(), key.to_owned()));
            let asked = pair(&kind.to_string(), key);
            let from_state = state.get(&asked).copied().filter(|_| is_asked);
            let own = || {
                let mut own = self.auth_events(id).into_iter();
                own.find(|id| {
                    let found = self.events[*id].state_pair();
                    found.is_some_and(|(k, s)| (k.to_string(), s) == asked)
                        && !self.is_rejected(*id)
                })
            };
            from_state.or_else(own).map(|id| self.events[id].clone())
        })
        .is_ok()
    }
}

fn pair(kind: &str, key: &str) -> Pair {
    (kind.to_owned(), key.to_owned())
}

fn split(states: &[State]) -> (State, Ids) {
    let mut unconflicted = State::new();
    let mut conflicted = Ids::new();
    for (pair, id) in states.iter().flatten() {
        if states.iter().all(|state| state.get(pair) == Some(id)) {
            unconflicted.insert(pair.clone(), *id);
        } else {
            conflicted.insert(*id);
        }
    }
    (unconflicted, conflicted)
}
