//! Which places of several states are in conflict.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map},
    iter::Peekable,
};

use ruma::{
    OwnedEventId,
    room_version_rules::{RoomVersionRules, StateResolutionVersion},
};

use super::{StatePair, StateSet};

/// The places where all states have the same event, and the events at all others. In room version 1, a place that a state does
/// not have is no conflict.
pub(super) fn split(
    rules: &RoomVersionRules,
    sets: &[StateSet],
) -> (StateSet, BTreeMap<StatePair, BTreeSet<OwnedEventId>>) {
    let needs_all = matches!(rules.state_res, StateResolutionVersion::V2(_));
    let mut unconflicted = Vec::new();
    let mut conflicted = BTreeMap::new();
    let mut walks: Vec<_> = sets.iter().map(|set| set.iter().peekable()).collect();
    let mut ids: Vec<&OwnedEventId> = Vec::with_capacity(sets.len());
    while let Some(pair) = least(&mut walks) {
        ids.clear();
        for walk in &mut walks {
            if let Some((_, id)) = walk.next_if(|(other, _)| *other == pair) {
                ids.push(id);
            }
        }
        let is_everywhere = !needs_all || ids.len() == sets.len();
        if is_everywhere && ids.iter().all(|id| *id == ids[0]) {
            unconflicted.push((pair.clone(), ids[0].clone()));
        } else {
            let ids = ids.iter().map(|id| (*id).clone()).collect();
            conflicted.insert(pair.clone(), ids);
        }
    }
    (unconflicted.into_iter().collect(), conflicted)
}

fn least<'a>(
    walks: &mut [Peekable<btree_map::Iter<'a, StatePair, OwnedEventId>>],
) -> Option<&'a StatePair> {
    let mut least: Option<&'a StatePair> = None;
    for walk in walks {
        if let Some((pair, _)) = walk.peek()
            && least.is_none_or(|least| *pair < least)
        {
            least = Some(pair);
        }
    }
    least
}
