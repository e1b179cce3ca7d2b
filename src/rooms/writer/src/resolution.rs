//! State resolution over stored states: finds what differs, loads the events that decide, and leaves the decision to
//! `protocol::resolve`.
//!
//! Everything is read from one snapshot before the rules run, so that they run without I/O. The result is handed out as
//! changes to one of the states; only a commit stores it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use database::{Read, RoomNumber, Snapshot};
use protocol::{
    authorize::{self, AuthEvent},
    resolve::{Conflicts, ResolveError, StatePair, resolve_conflicts},
};
use rooms_store::{
    RoomError, RoomStore,
    state_map::{EventNumber, StateKeyNumber, StateRoot},
    tables::AUTH_EDGES,
};
use ruma::{
    EventId, OwnedEventId,
    events::StateEventType,
    room_version_rules::{RoomVersionRules, StateResolutionVersion},
};

use crate::state_set::StateSet;

/// An event that a state names and that is not stored yet.
#[derive(Clone, Debug)]
pub(crate) struct NewEvent {
    pub(crate) number: EventNumber,
    pub(crate) event: AuthEvent,
    pub(crate) auth: Vec<EventNumber>,
}

/// Events read at once.
const PAGE: usize = 256;

/// What one resolution reads from.
pub(crate) struct Resolver<'a> {
    pub(crate) rooms: &'a RoomStore,
    pub(crate) db: &'a Snapshot,
    pub(crate) room: RoomNumber,
    pub(crate) rules: &'static RoomVersionRules,
    pub(crate) new: Option<&'a NewEvent>,
}

/// Auth events by event, as far as they were read.
type Edges = HashMap<EventNumber, Arc<[EventNumber]>>;

/// The events at each conflicted key, one for each state.
type Conflicted = BTreeMap<StateKeyNumber, Vec<Option<EventNumber>>>;

/// Events that were read.
#[derive(Default)]
struct Loaded {
    by_id: HashMap<OwnedEventId, (EventNumber, AuthEvent)>,
    ids: HashMap<EventNumber, OwnedEventId>,
}

impl Resolver<'_> {
    /// The state that these states resolve to.
    pub(crate) async fn resolve(&self, sets: &[StateSet]) -> Result<StateSet, RoomError> {
        let Some((first, others)) = sets.split_first() else {
            return Ok(StateSet::stored(StateRoot::EMPTY));
        };
        if others.iter().all(|other| other == first) {
            return Ok(first.clone());
        }
        let mut conflicted = self.conflicted(sets).await?;
        let mut first = first.clone();
        if matches!(self.rules.state_res, StateResolutionVersion::V1) {
            settle_absences(&mut conflicted, &mut first);
        }
        if conflicted.is_empty() {
            return Ok(first);
        }
        let first = &first;
        let mut edges = Edges::new();
        let chains = self.chains(sets.len(), &conflicted, &mut edges).await?;
        let difference = self
            .difference(first, &conflicted, &chains, &mut edges)
            .await?;
        let mut loaded = Loaded::default();
        let in_chains = chains.iter().flatten().copied();
        let at_keys = conflicted.values().flatten().flatten().copied();
        self.load(in_chains.chain(at_keys).collect(), &mut loaded)
            .await?;
        let unconflicted = self
            .unconflicted(first, &conflicted, &mut loaded, &mut edges)
            .await?;
        let decided = self.decide(&conflicted, &difference, &unconflicted, &loaded)?;
        let mut resolved = first.clone();
        for key in conflicted.keys() {
            resolved.set(*key, decided.get(key).copied());
        }
        Ok(resolved)
    }

    /// The keys at which the states do not all have the same event.
    async fn conflicted(&self, sets: &[StateSet]) -> Result<Conflicted, RoomError> {
        let states = self.rooms.states();
        let mut keys = BTreeSet::new();
        for set in sets {
            keys.extend(set.changes().iter().map(|(key, _)| *key));
            let changes = states
                .diff(self.db, self.room, sets[0].base, set.base)
                .await?;
            keys.extend(changes.into_iter().map(|change| change.key));
        }
        let mut conflicted = Conflicted::new();
        for key in keys {
            let mut events = Vec::with_capacity(sets.len());
            for set in sets {
                events.push(set.get(self.rooms, self.db, self.room, key).await?);
            }
            if events.iter().any(|event| *event != events[0]) {
                conflicted.insert(key, events);
            }
        }
        Ok(conflicted)
    }

    /// For each state, the auth chain of its conflicted events, without those events themselves unless another one needs them.
    async fn chains(
        &self,
        sets: usize,
        conflicted: &Conflicted,
        edges: &mut Edges,
    ) -> Result<Vec<HashSet<EventNumber>>, RoomError> {
        let mut chains = Vec::with_capacity(sets);
        for at in 0..sets {
            let own = conflicted.values().filter_map(|events| events[at]);
            chains.push(self.chain(own.collect(), edges).await?);
        }
        Ok(chains)
    }

    /// The auth chain of some events.
    async fn chain(
        &self,
        from: Vec<EventNumber>,
        edges: &mut Edges,
    ) -> Result<HashSet<EventNumber>, RoomError> {
        let mut chain = HashSet::new();
        let mut ahead = from;
        while !ahead.is_empty() {
            self.read_edges(&ahead, edges).await?;
            let mut next = Vec::new();
            for event in ahead {
                for auth in edges.get(&event).into_iter().flat_map(|auth| auth.iter()) {
                    if chain.insert(*auth) {
                        next.push(*auth);
                    }
                }
            }
            ahead = next;
        }
        Ok(chain)
    }

    async fn read_edges(&self, events: &[EventNumber], edges: &mut Edges) -> Result<(), RoomError> {
        if let Some(new) = self.new {
            edges.insert(new.number, new.auth.clone().into());
        }
        let unread: Vec<EventNumber> = events
            .iter()
            .filter(|event| !edges.contains_key(event))
            .copied()
            .collect();
        for page in unread.chunks(PAGE) {
            let rows = page
                .iter()
                .map(|event| AUTH_EDGES.at((self.room, *event)))
                .collect();
            for (event, row) in page.iter().zip(self.db.get_many(rows).await?) {
                let auth = row.map(|row| row.0).unwrap_or_default();
                edges.insert(*event, auth.into());
            }
        }
        Ok(())
    }

    /// The events that are in the auth chains of some states and not of all.
    async fn difference(
        &self,
        first: &StateSet,
        conflicted: &Conflicted,
        chains: &[HashSet<EventNumber>],
        edges: &mut Edges,
    ) -> Result<HashSet<EventNumber>, RoomError> {
        let mut counts: HashMap<EventNumber, usize> = HashMap::new();
        for event in chains.iter().flatten() {
            *counts.entry(*event).or_default() += 1;
        }
        let partly = counts
            .into_iter()
            .filter(|(_, count)| *count < chains.len());
        let mut difference: HashSet<EventNumber> = partly.map(|(event, _)| event).collect();
        if difference.is_empty() {
            return Ok(difference);
        }
        // Events that also authorize the unconflicted state are in every chain.
        let states = self.rooms.states();
        let entries = states.list(self.db, self.room, first.base).await?;
        let changed: HashSet<StateKeyNumber> =
            first.changes().iter().map(|(key, _)| *key).collect();
        let stored = entries
            .into_iter()
            .filter(|(key, _)| !changed.contains(key) && !conflicted.contains_key(key))
            .map(|(_, event)| event);
        let own = first
            .changes()
            .iter()
            .filter(|(key, _)| !conflicted.contains_key(key))
            .filter_map(|(_, event)| *event);
        let everywhere = self.chain(stored.chain(own).collect(), edges).await?;
        difference.retain(|event| !everywhere.contains(event));
        Ok(difference)
    }

    async fn load(
        &self,
        events: BTreeSet<EventNumber>,
        loaded: &mut Loaded,
    ) -> Result<(), RoomError> {
        let unread: Vec<EventNumber> = events
            .into_iter()
            .filter(|event| !loaded.ids.contains_key(event))
            .collect();
        for page in unread.chunks(PAGE) {
            let stored: Vec<EventNumber> = page
                .iter()
                .filter(|event| self.new.is_none_or(|new| new.number != **event))
                .copied()
                .collect();
            if let Some(new) = self.new.filter(|_| stored.len() < page.len()) {
                loaded.insert(new.number, new.event.clone());
            }
            for event in self.rooms.named_events(self.db, self.room, &stored).await? {
                let parsed = AuthEvent::parse(event.id.clone(), event.json())
                    .map_err(|_| RoomError::Damaged)?;
                let parsed = if event.is_rejected() {
                    parsed.rejected()
                } else {
                    parsed
                };
                loaded.insert(event.number, parsed);
            }
        }
        Ok(())
    }

    /// The events at the unconflicted keys that the rules may look at, and what decides the order of power.
    async fn unconflicted(
        &self,
        first: &StateSet,
        conflicted: &Conflicted,
        loaded: &mut Loaded,
        edges: &mut Edges,
    ) -> Result<HashMap<StatePair, OwnedEventId>, RoomError> {
        let mut pairs: BTreeSet<StatePair> = BTreeSet::new();
        pairs.insert((StateEventType::RoomCreate, String::new()));
        pairs.insert((StateEventType::RoomPowerLevels, String::new()));
        for (_, event) in loaded.by_id.values() {
            // An event whose auth types cannot be told is not allowed either.
            pairs.extend(authorize::auth_types(self.rules, event).unwrap_or_default());
        }
        let mut found = Vec::new();
        for pair in pairs {
            let kind = pair.0.to_string();
            let numbers = self.rooms.numbers();
            let Some(key) = numbers.find_state_key(self.db, &kind, &pair.1).await? else {
                continue;
            };
            if conflicted.contains_key(&key) {
                continue;
            }
            let event = first.get(self.rooms, self.db, self.room, key).await?;
            found.extend(event.map(|event| (pair, event)));
        }
        let events: BTreeSet<EventNumber> = found.iter().map(|(_, event)| *event).collect();
        let chain = self.chain(events.iter().copied().collect(), edges).await?;
        self.load(events.into_iter().chain(chain).collect(), loaded)
            .await?;
        let found = found
            .into_iter()
            .filter_map(|(pair, event)| Some((pair, loaded.ids.get(&event)?.clone())));
        Ok(found.collect())
    }

    /// The events that win, by key.
    fn decide(
        &self,
        conflicted: &Conflicted,
        difference: &HashSet<EventNumber>,
        unconflicted: &HashMap<StatePair, OwnedEventId>,
        loaded: &Loaded,
    ) -> Result<HashMap<StateKeyNumber, EventNumber>, RoomError> {
        let mut conflicts = Conflicts::default();
        let mut keys: HashMap<StatePair, StateKeyNumber> = HashMap::new();
        for (key, events) in conflicted {
            let ids: BTreeSet<OwnedEventId> = events
                .iter()
                .flatten()
                .filter_map(|event| loaded.ids.get(event).cloned())
                .collect();
            let first = ids.first().and_then(|id| loaded.by_id.get(id));
            let pair = first.and_then(|(_, event)| event.state_pair());
            let pair = pair.ok_or(RoomError::Damaged)?;
            keys.insert(pair.clone(), *key);
            conflicts.conflicted.insert(pair, ids);
        }
        let ids = difference.iter().filter_map(|event| loaded.ids.get(event));
        conflicts.auth_difference = ids.cloned().collect();
        let resolved = resolve_conflicts(
            self.rules,
            &conflicts,
            |pair| unconflicted.get(pair).cloned(),
            |id: &EventId| loaded.by_id.get(id).map(|(_, event)| event.clone()),
        )
        .map_err(|error| failed(&error))?;
        let winners = resolved.into_iter().filter_map(|(pair, id)| {
            let key = keys.get(&pair)?;
            let (number, _) = loaded.by_id.get(&id)?;
            Some((*key, *number))
        });
        Ok(winners.collect())
    }
}

fn failed(error: &ResolveError) -> RoomError {
    tracing::error!(%error, "the state of a room could not be resolved");
    RoomError::Damaged
}

/// In room version 1, a key that some states lack is not conflicted: the event of the others is taken.
fn settle_absences(conflicted: &mut Conflicted, first: &mut StateSet) {
    conflicted.retain(|key, events| {
        let mut present = events.iter().flatten();
        let Some(event) = present.next() else {
            return false;
        };
        if present.any(|other| other != event) {
            return true;
        }
        first.set(*key, Some(*event));
        false
    });
}

impl Loaded {
    fn insert(&mut self, number: EventNumber, event: AuthEvent) {
        let id = event.id().to_owned();
        self.ids.insert(number, id.clone());
        self.by_id.insert(id, (number, event));
    }
}
