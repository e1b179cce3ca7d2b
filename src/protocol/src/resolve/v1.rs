//! Version 1 of the algorithm (rooms/v1): conflicts are resolved by depth and by the SHA-1 of the event id.

use std::cmp::Reverse;

use ruma::{OwnedEventId, events::StateEventType, room_version_rules::RoomVersionRules};
use sha1::{Digest as _, Sha1};

use super::{Conflicts, ResolveError, StatePair, StateSet, events::Events};
use crate::{authorize::AuthEvent, event::Depth};

/// The types whose conflicts are resolved before all others, in this order, because they authorize what follows.
const FIRST: [StateEventType; 3] = [
    StateEventType::RoomPowerLevels,
    StateEventType::RoomJoinRules,
    StateEventType::RoomMember,
];

pub(super) fn resolve(
    rules: &RoomVersionRules,
    conflicts: &Conflicts,
    unconflicted: &dyn Fn(&StatePair) -> Option<OwnedEventId>,
    events: &Events<'_>,
) -> Result<StateSet, ResolveError> {
    let mut resolved = StateSet::new();
    for kind in FIRST {
        // Conflicts of one type do not see each other's result, so that their order does not matter.
        let mut of_kind = Vec::new();
        for (pair, ids) in conflicts
            .conflicted
            .iter()
            .filter(|(pair, _)| pair.0 == kind)
        {
            let ids = in_order(ids, events)?;
            let before =
                |pair: &StatePair| resolved.get(pair).cloned().or_else(|| unconflicted(pair));
            of_kind.extend(last_in_row(rules, pair, ids, before, events)?);
        }
        resolved.extend(of_kind);
    }
    let mut others = Vec::new();
    let rest = conflicts.conflicted.iter();
    for (pair, ids) in rest.filter(|(pair, _)| !FIRST.contains(&pair.0)) {
        let ids = in_order(ids, events)?;
        let before = |pair: &StatePair| resolved.get(pair).cloned().or_else(|| unconflicted(pair));
        let deepest = deepest_allowed(rules, &ids, before, events)?;
        others.extend(deepest.map(|id| (pair.clone(), id)));
    }
    resolved.extend(others);
    Ok(resolved)
}

/// By ascending depth, then by descending SHA-1 of the id.
fn in_order<'a>(
    ids: impl IntoIterator<Item = &'a OwnedEventId>,
    events: &Events<'_>,
) -> Result<Vec<AuthEvent>, ResolveError> {
    let mut order: Vec<(Depth, Reverse<[u8; 20]>, AuthEvent)> = Vec::new();
    for id in ids {
        let event = events.require(id)?;
        let hash: [u8; 20] = Sha1::digest(id.as_str().as_bytes()).into();
        order.push((event.depth(), Reverse(hash), event));
    }
    order.sort_by_key(|(depth, hash, _)| (*depth, *hash));
    Ok(order.into_iter().map(|(_, _, event)| event).collect())
}

/// Takes the first event, then each next one while it is allowed in the state that the one before left.
fn last_in_row(
    rules: &RoomVersionRules,
    pair: &StatePair,
    order: Vec<AuthEvent>,
    before: impl Fn(&StatePair) -> Option<OwnedEventId>,
    events: &Events<'_>,
) -> Result<Option<(StatePair, OwnedEventId)>, ResolveError> {
    let mut last: Option<AuthEvent> = None;
    for event in order {
        if let Some(last) = &last {
            let state = |asked: &StatePair| match asked == pair {
                true => Some(last.id().to_owned()),
                false => before(asked),
            };
            if !events.is_allowed_in(rules, &event, state)? {
                break;
            }
        }
        last = Some(event);
    }
    Ok(last.map(|event| (pair.clone(), event.id().to_owned())))
}

/// The deepest event that is allowed. If none is, the least deep one: a place that the states have is never empty.
fn deepest_allowed(
    rules: &RoomVersionRules,
    order: &[AuthEvent],
    before: impl Fn(&StatePair) -> Option<OwnedEventId>,
    events: &Events<'_>,
) -> Result<Option<OwnedEventId>, ResolveError> {
    for event in order.iter().rev() {
        if events.is_allowed_in(rules, event, &before)? {
            return Ok(Some(event.id().to_owned()));
        }
    }
    Ok(order.first().map(|event| event.id().to_owned()))
}
