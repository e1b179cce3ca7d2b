//! Versions 2.0 (rooms/v2) and 2.1 (rooms/v12) of the algorithm.

use std::collections::{HashMap, HashSet};

use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId,
    events::{StateEventType, TimelineEventType, room::power_levels::UserPowerLevel},
    room_version_rules::{RoomVersionRules, StateResolutionV2Rules},
    state_res::{
        Event as _, reverse_topological_power_sort,
        utils::{event_id_map::EventIdMap, event_id_set::EventIdSet},
    },
};

use super::{
    Conflicts, MAX_AUTH_CHAIN, ResolveError, StatePair, StateSet,
    events::{Events, is_power_levels},
};
use crate::{authorize::AuthEvent, scan};

pub(super) fn resolve(
    rules: &RoomVersionRules,
    v2_rules: StateResolutionV2Rules,
    conflicts: &Conflicts,
    unconflicted: &dyn Fn(&StatePair) -> Option<OwnedEventId>,
    events: &Events<'_>,
) -> Result<StateSet, ResolveError> {
    let full = full_conflicted_set(v2_rules, conflicts, events)?;
    let power_events = sort_power_events(rules, &full, events)?;

    let nothing = |_: &StatePair| None;
    let base: &dyn Fn(&StatePair) -> Option<OwnedEventId> =
        if v2_rules.begin_iterative_auth_checks_with_empty_state_map {
            &nothing
        } else {
            unconflicted
        };
    let mut state = StateSet::new();
    check_in_order(rules, &power_events, base, &mut state, events)?;

    let levels = (StateEventType::RoomPowerLevels, String::new());
    let levels = state.get(&levels).cloned().or_else(|| base(&levels));
    let power_events: HashSet<_> = power_events.into_iter().collect();
    let remaining = full.into_iter().filter(|id| !power_events.contains(id));
    let remaining = sort_by_mainline(remaining.collect(), levels, events)?;
    check_in_order(rules, &remaining, base, &mut state, events)?;
    Ok(state)
}

/// All events that take part; each is known to be a state event.
fn full_conflicted_set(
    rules: StateResolutionV2Rules,
    conflicts: &Conflicts,
    events: &Events<'_>,
) -> Result<HashSet<OwnedEventId>, ResolveError> {
    let conflicted: HashSet<OwnedEventId> =
        conflicts.conflicted.values().flatten().cloned().collect();
    let mut full = conflicts.auth_difference.clone();
    if rules.consider_conflicted_state_subgraph {
        full.extend(subgraph(&conflicted, events)?);
    }
    full.extend(conflicted);
    for id in &full {
        events.pair(id)?;
    }
    Ok(full)
}

/// The events on the paths of auth events from one conflicted event to another.
pub(super) fn subgraph(
    conflicted: &HashSet<OwnedEventId>,
    events: &Events<'_>,
) -> Result<Vec<OwnedEventId>, ResolveError> {
    // Whether an event leads to a conflicted one or is one. An event whose auth events are still being walked is not in it yet.
    let mut leads: HashMap<OwnedEventId, bool> = HashMap::new();
    let mut seen: HashSet<OwnedEventId> = HashSet::new();
    let mut walk: Vec<(OwnedEventId, Vec<OwnedEventId>, usize)> = Vec::new();
    let mut enter = |id: &OwnedEventId| -> Result<_, ResolveError> {
        if !seen.insert(id.clone()) {
            return Ok(None);
        }
        if seen.len() > MAX_AUTH_CHAIN {
            return Err(ResolveError::TooLarge);
        }
        let auth_events = events.require_once(id)?.auth_events().cloned().collect();
        Ok(Some((id.clone(), auth_events, 0)))
    };
    for id in conflicted {
        walk.extend(enter(id)?);
        while let Some((id, auth_events, next)) = walk.last_mut() {
            if let Some(auth_event) = auth_events.get(*next) {
                *next += 1;
                let entered = enter(auth_event)?;
                walk.extend(entered);
                continue;
            }
            let is_leading = conflicted.contains(id)
                || auth_events.iter().any(|id| leads.get(id) == Some(&true));
            leads.insert(id.clone(), is_leading);
            walk.pop();
        }
    }
    let leading = leads.into_iter().filter(|(_, is_leading)| *is_leading);
    Ok(leading.map(|(id, _)| id).collect())
}

/// The power events and those of their auth events that take part, in reverse topological power ordering. Auth chains are not
/// followed through events that do not take part: the specification can be read otherwise, but all servers do it so, and states
/// must be the same everywhere.
fn sort_power_events(
    rules: &RoomVersionRules,
    full: &HashSet<OwnedEventId>,
    events: &Events<'_>,
) -> Result<Vec<OwnedEventId>, ResolveError> {
    let mut graph: EventIdMap<OwnedEventId, EventIdSet<OwnedEventId>> = EventIdMap::new();
    let mut details: HashMap<OwnedEventId, (UserPowerLevel, MilliSecondsSinceUnixEpoch)> =
        HashMap::new();
    let mut open = Vec::new();
    for id in full {
        if is_power_event(&events.require(id)?) {
            open.push(id.clone());
        }
    }
    while let Some(id) = open.pop() {
        if details.contains_key(&id) {
            continue;
        }
        let event = events.require(&id)?;
        let level = events.sender_level(rules, &event)?;
        details.insert(id.clone(), (level, event.origin_server_ts()));
        let edges: Vec<_> = event
            .auth_events()
            .filter(|id| full.contains(*id))
            .cloned()
            .collect();
        open.extend(edges.iter().cloned());
        graph.insert(id, edges.into_iter().collect());
    }
    let sorted = reverse_topological_power_sort(&graph, |id| {
        let details = details.get(id).copied();
        details.ok_or_else(|| ruma::state_res::Error::NotFound(id.to_owned()))
    });
    // The sort leaves out the events of a cycle.
    match sorted {
        Ok(sorted) if sorted.len() == details.len() => Ok(sorted),
        _ => Err(ResolveError::Cycle),
    }
}

/// Whether an event may take away what someone can do. Create events count as well, and only events with an empty state key:
/// the specification says neither, but all servers agree on it.
fn is_power_event(event: &AuthEvent) -> bool {
    match event.kind() {
        TimelineEventType::RoomPowerLevels
        | TimelineEventType::RoomJoinRules
        | TimelineEventType::RoomCreate => event.state_key() == Some(""),
        TimelineEventType::RoomMember => {
            let membership = scan::string_member(event.content(), "membership");
            membership.is_some_and(|word| word == "leave" || word == "ban")
                && event.state_key() != Some(event.sender().as_str())
        }
        _ => false,
    }
}

/// Iterative auth checks: applies each event that is allowed to the state.
fn check_in_order(
    rules: &RoomVersionRules,
    order: &[OwnedEventId],
    base: &dyn Fn(&StatePair) -> Option<OwnedEventId>,
    state: &mut StateSet,
    events: &Events<'_>,
) -> Result<(), ResolveError> {
    for id in order {
        let event = events.require(id)?;
        let before = |pair: &StatePair| state.get(pair).cloned().or_else(|| base(pair));
        if events.is_allowed(rules, &event, before)? {
            state.insert(events.pair(id)?, id.clone());
        }
    }
    Ok(())
}

/// Sorts by the mainline of the power level event `levels`: events that are based on older power levels come first.
fn sort_by_mainline(
    ids: Vec<OwnedEventId>,
    levels: Option<OwnedEventId>,
    events: &Events<'_>,
) -> Result<Vec<OwnedEventId>, ResolveError> {
    let mut positions = mainline(levels, events)?;
    let mut order = Vec::with_capacity(ids.len());
    for id in ids {
        let event = events.require(&id)?;
        let position = position(&event, &mut positions, events)?;
        order.push((position, event.origin_server_ts(), id));
    }
    order.sort_unstable();
    Ok(order.into_iter().map(|(_, _, id)| id).collect())
}

/// The places of power level events in the mainline, counted from its oldest event: 0 is before all of them. Filled with the
/// places of the power level events outside the mainline as they are met.
type Positions = HashMap<OwnedEventId, usize>;

fn mainline(levels: Option<OwnedEventId>, events: &Events<'_>) -> Result<Positions, ResolveError> {
    let mut line = Vec::new();
    let mut seen = HashSet::new();
    let mut next = levels.map(|id| events.require(&id)).transpose()?;
    while let Some(event) = next {
        if !seen.insert(event.id().to_owned()) {
            return Err(ResolveError::Cycle);
        }
        line.push(event.id().to_owned());
        next = events.power_levels_of(&event)?;
    }
    let count = line.len();
    let numbered = line.into_iter().enumerate();
    Ok(numbered.map(|(index, id)| (id, count - index)).collect())
}

/// The place of the newest event of the mainline that an event is based on.
fn position(
    event: &AuthEvent,
    positions: &mut Positions,
    events: &Events<'_>,
) -> Result<usize, ResolveError> {
    let mut path: Vec<OwnedEventId> = Vec::new();
    let mut seen = HashSet::new();
    let mut next = match is_power_levels(event) {
        true => Some(event.clone()),
        false => events.power_levels_of(event)?,
    };
    let mut found = 0;
    while let Some(levels) = next {
        if let Some(position) = positions.get(levels.id()) {
            found = *position;
            break;
        }
        if !seen.insert(levels.id().to_owned()) {
            return Err(ResolveError::Cycle);
        }
        path.push(levels.id().to_owned());
        next = events.power_levels_of(&levels)?;
    }
    positions.extend(path.into_iter().map(|id| (id, found)));
    Ok(found)
}
