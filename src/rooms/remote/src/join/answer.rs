//! The answer to `send_join`: its events, checked and in an order in which each follows its auth events.

use std::collections::{HashMap, HashSet};

use federation::{AnswerKind, Urgency};
use futures_util::{StreamExt as _, stream};
use protocol::{receive::Pdu, scan};
use rooms_store::RoomError;
use ruma::{
    OwnedEventId, RoomId, ServerName, api::federation::event::get_event,
    room_version_rules::RoomVersionRules,
};
use serde_json::value::RawValue;

use crate::{check::Checked, handle::RemoteRooms};

/// Events that are fetched to complete an auth chain.
const MOST_FETCHES: usize = 1_000;
/// Of them at once.
const FETCHES_AT_ONCE: usize = 8;
/// Events of one answer: a room of this many members takes some hundred megabytes.
const MOST_EVENTS: usize = 300_000;

/// A room as another server describes it.
pub(super) struct Described {
    /// Auth events come before what they authorize.
    pub(super) events: Vec<Pdu>,
    /// The events of the state before the join.
    pub(super) state: Vec<OwnedEventId>,
}

/// The room that is joined, and by way of whom.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) room_id: &'a RoomId,
    pub(super) rules: &'static RoomVersionRules,
    pub(super) version: &'a str,
    pub(super) server: &'a ServerName,
}

impl RemoteRooms {
    /// Checks all events of an answer, and fetches auth events that it lacks. Events that fail a check are left out; what depends on
    /// them is then no part of the room either.
    pub(super) async fn described(
        &self,
        source: Source<'_>,
        state: Vec<Box<RawValue>>,
        auth_chain: Vec<Box<RawValue>>,
    ) -> Result<Described, RoomError> {
        if state.len() + auth_chain.len() > MOST_EVENTS {
            return Err(unusable("the room is too large"));
        }
        let mut held = HashMap::new();
        let mut left_out = HashSet::new();
        let ids = self.take(source, state, &mut held, &mut left_out).await?;
        self.take(source, auth_chain, &mut held, &mut left_out)
            .await?;
        let state = state_of(&ids, &held, source.version)?;
        self.complete(source, &mut held, left_out).await?;
        Ok(Described {
            events: in_order(held),
            state,
        })
    }

    /// Checks texts and keeps the events of the room. Returns the ids of those that were kept.
    async fn take(
        &self,
        source: Source<'_>,
        texts: Vec<Box<RawValue>>,
        held: &mut HashMap<OwnedEventId, Pdu>,
        left_out: &mut HashSet<OwnedEventId>,
    ) -> Result<Vec<OwnedEventId>, RoomError> {
        let texts = texts.into_iter().map(|text| Box::<str>::from(text.get()));
        let mut ids = Vec::new();
        for checked in self.check(source.rules, texts).await? {
            match checked {
                Checked::Valid(pdu) if pdu.room_id() == source.room_id => {
                    ids.push(pdu.event_id().to_owned());
                    held.insert(pdu.event_id().to_owned(), pdu);
                }
                Checked::Valid(pdu) | Checked::KeysMissing(pdu, _) => {
                    left_out.insert(pdu.event_id().to_owned());
                }
                Checked::Bad(bad) => left_out.extend(bad.event_id),
            }
        }
        Ok(ids)
    }

    /// Fetches the auth events that are named and not there.
    async fn complete(
        &self,
        source: Source<'_>,
        held: &mut HashMap<OwnedEventId, Pdu>,
        mut asked: HashSet<OwnedEventId>,
    ) -> Result<(), RoomError> {
        let mut fetches = 0;
        loop {
            let mut missing = Vec::new();
            for id in held.values().flat_map(Pdu::auth_events) {
                if !held.contains_key(id) && asked.insert(id.clone()) {
                    missing.push(id.clone());
                }
            }
            if missing.is_empty() {
                return Ok(());
            }
            fetches += missing.len();
            if fetches > MOST_FETCHES {
                return Err(unusable("an auth chain lacks too many events"));
            }
            let texts: Vec<_> = stream::iter(missing)
                .map(|id| async move {
                    let request = get_event::v1::Request::new(id);
                    let (usual, now) = (AnswerKind::Usual, Urgency::Now);
                    let answer = self
                        .federation()
                        .request(source.server, request, usual, now);
                    answer.await.ok().map(|answer| answer.pdu)
                })
                .buffered(FETCHES_AT_ONCE)
                .filter_map(async |pdu| pdu)
                .collect()
                .await;
            // What comes must be what was asked for: its id is its hash, or is looked up by its id.
            self.take(source, texts, held, &mut asked).await?;
        }
    }
}

/// The state, one event for each (type, state key). Its create event must be that of the room version.
fn state_of(
    ids: &[OwnedEventId],
    held: &HashMap<OwnedEventId, Pdu>,
    version: &str,
) -> Result<Vec<OwnedEventId>, RoomError> {
    let mut keys = HashSet::new();
    let mut state = Vec::with_capacity(ids.len());
    let mut create = None;
    for id in ids {
        let Some(pdu) = held.get(id) else { continue };
        let Some(state_key) = pdu.state_key() else {
            continue;
        };
        let kind = pdu.kind().to_string();
        if !keys.insert((kind.clone(), state_key.to_owned())) {
            continue;
        }
        if kind == "m.room.create" && state_key.is_empty() {
            create = Some(pdu);
        }
        state.push(id.clone());
    }
    let create = create.ok_or_else(|| unusable("the create event is missing"))?;
    let content = scan::member(create.json(), "content").unwrap_or_default();
    let named = scan::string_member(content, "room_version");
    if named.as_deref().unwrap_or("1") != version {
        return Err(unusable("the room has another version"));
    }
    Ok(state)
}

/// Auth events first. Events in a cycle, which only room versions 1 and 2 could have, are left out.
fn in_order(held: HashMap<OwnedEventId, Pdu>) -> Vec<Pdu> {
    let mut waiting: HashMap<OwnedEventId, usize> = HashMap::with_capacity(held.len());
    let mut followers: HashMap<OwnedEventId, Vec<OwnedEventId>> = HashMap::new();
    for (id, pdu) in &held {
        let auth: HashSet<_> = pdu
            .auth_events()
            .filter(|id| held.contains_key(*id))
            .collect();
        waiting.insert(id.clone(), auth.len());
        for auth in auth {
            followers.entry(auth.clone()).or_default().push(id.clone());
        }
    }
    let by_age = |id: &OwnedEventId| {
        let pdu = &held[id];
        (pdu.depth(), pdu.event_id().to_owned())
    };
    let ready = waiting.iter().filter(|(_, count)| **count == 0);
    let mut level: Vec<_> = ready.map(|(id, _)| id.clone()).collect();
    let mut order = Vec::with_capacity(held.len());
    while !level.is_empty() {
        level.sort_by_cached_key(by_age);
        let mut next = Vec::new();
        for id in &level {
            for follower in followers.remove(id).unwrap_or_default() {
                if let Some(count) = waiting.get_mut(&follower) {
                    *count -= 1;
                    if *count == 0 {
                        next.push(follower);
                    }
                }
            }
        }
        order.append(&mut level);
        level = next;
    }
    let mut held = held;
    order.iter().filter_map(|id| held.remove(id)).collect()
}

/// The answer cannot be used; another server may have a better one.
pub(super) fn unusable(reason: &str) -> RoomError {
    RoomError::NoServer(format!(
        "a server of the room gave an answer that cannot be used: {reason}"
    ))
}
