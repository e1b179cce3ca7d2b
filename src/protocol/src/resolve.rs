//! State resolution (rooms/v1, v2 and v12, "State resolution").
//!
//! The states after an event's previous events are resolved into the state before it. [`resolve`] takes whole states;
//! [`resolve_conflicts`] takes only what differs, for callers that compare states by a shared structure and know the
//! difference of the auth chains from an index.
//!
//! The authorization rules and the power ordering are ruma's. The rest is done here, because ruma's `resolve` walks the power
//! levels of each conflicted event anew, which is quadratic for an event graph made for it, does not end if auth events of
//! room version 2 form a cycle, and ignores missing events. Here, time is n log n in the conflicted events and linear in the
//! events that they lead to, and a missing event is an error.

mod events;
mod split;
mod v1;
mod v2;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use ruma::{
    EventId, OwnedEventId,
    events::StateEventType,
    room_version_rules::{RoomVersionRules, StateResolutionVersion},
};

use self::events::Events;
use crate::authorize::AuthEvent;

/// A place in the state of a room: type and state key.
pub type StatePair = (StateEventType, String);

/// A state of a room.
pub type StateSet = BTreeMap<StatePair, OwnedEventId>;

/// Most events of an auth chain that are walked in one resolution.
pub const MAX_AUTH_CHAIN: usize = 500_000;

/// Why states cannot be resolved.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("event {0} is missing")]
    Missing(OwnedEventId),
    #[error("event {0} is not a state event")]
    NotState(OwnedEventId),
    #[error("auth events form a cycle")]
    Cycle,
    #[error("auth chain has more than {MAX_AUTH_CHAIN} events")]
    TooLarge,
}

/// What differs between the states to be resolved.
#[derive(Clone, Debug, Default)]
pub struct Conflicts {
    /// The events at each place where the states do not all have the same one.
    pub conflicted: BTreeMap<StatePair, BTreeSet<OwnedEventId>>,
    /// The events that are in the auth chain of some, but not of all states. Room version 1 does not need them.
    pub auth_difference: HashSet<OwnedEventId>,
}

/// Resolves states of one room. `auth_chains` has the full auth chain of each state: all auth events of its events, recursively.
/// `event` returns the events that may be part of the resolution; all must be of the room.
#[expect(clippy::implicit_hasher, reason = "only one type of set is used")]
pub fn resolve(
    rules: &RoomVersionRules,
    sets: &[StateSet],
    auth_chains: Vec<HashSet<OwnedEventId>>,
    event: impl Fn(&EventId) -> Option<AuthEvent>,
) -> Result<StateSet, ResolveError> {
    let Some((first, others)) = sets.split_first() else {
        return Ok(StateSet::new());
    };
    if others.iter().all(|other| other == first) {
        return Ok(first.clone());
    }
    let (mut state, conflicted) = split::split(rules, sets);
    let conflicts = Conflicts {
        conflicted,
        auth_difference: difference(auth_chains),
    };
    let resolved = resolve_conflicts(rules, &conflicts, |pair| state.get(pair).cloned(), event)?;
    state.extend(resolved);
    Ok(state)
}

/// Resolves what differs between states. `unconflicted` returns the event at a place where all states have the same one (in
/// room version 1: where none has another). The result has the places whose event follows from the resolution, not those of
/// `unconflicted`; at a conflicted place that is not in it, the resolved state has no event.
pub fn resolve_conflicts(
    rules: &RoomVersionRules,
    conflicts: &Conflicts,
    unconflicted: impl Fn(&StatePair) -> Option<OwnedEventId>,
    event: impl Fn(&EventId) -> Option<AuthEvent>,
) -> Result<StateSet, ResolveError> {
    if conflicts.conflicted.is_empty() {
        return Ok(StateSet::new());
    }
    let events = Events::new(&event);
    let mut resolved = match &rules.state_res {
        StateResolutionVersion::V2(v2_rules) => {
            v2::resolve(rules, *v2_rules, conflicts, &unconflicted, &events)?
        }
        _ => v1::resolve(rules, conflicts, &unconflicted, &events)?,
    };
    resolved.retain(|pair, _| unconflicted(pair).is_none());
    Ok(resolved)
}

/// The events that are not in all of the sets.
fn difference(sets: Vec<HashSet<OwnedEventId>>) -> HashSet<OwnedEventId> {
    let count = sets.len();
    let largest = sets.iter().map(HashSet::len).max().unwrap_or_default();
    let mut counts: HashMap<OwnedEventId, usize> = HashMap::with_capacity(largest);
    for id in sets.into_iter().flatten() {
        *counts.entry(id).or_default() += 1;
    }
    let partly = counts.into_iter().filter(|(_, found)| *found < count);
    partly.map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests;
