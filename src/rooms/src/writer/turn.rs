//! A writer's turn: events are built on what the room knows and on those built before them in the same turn.
//!
//! Ids, times and signatures are made here, before the transaction whose body may run again.

use std::{collections::HashMap, sync::Arc};

use database::{Millis, Snapshot};
use protocol::{
    authorize::{self, AuthEvent},
    content::Content,
    event::{self, Depth, SignedPdu},
    scan,
};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId,
    UInt, UserId,
    events::{StateEventType, TimelineEventType},
    room_version_rules::RoomVersionRules,
};
use serde_json::{Map, Value};

use super::facts::{Facts, Pair, StateEntry};
use crate::{
    error::RoomError,
    rooms::Rooms,
    send::{Sent, TransactionId},
    state_map::EventNumber,
    tables::{Extremity, Membership, Thread},
};

/// An event that is wanted; the turn adds what the room says.
pub(crate) struct Draft {
    pub(crate) sender: OwnedUserId,
    pub(crate) kind: String,
    pub(crate) state_key: Option<String>,
    pub(crate) content: Content,
    pub(crate) transaction: Option<TransactionId>,
    pub(crate) timestamp: Option<u64>,
    pub(super) redacts: Option<Target>,
}

/// The event that a redaction empties.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) number: EventNumber,
    pub(super) id: OwnedEventId,
    /// Its JSON without what redaction takes.
    pub(super) redacted_json: String,
}

/// An event that is built, signed and authorized, and not on disk yet.
pub(super) struct Pending {
    pub(super) number: EventNumber,
    pub(super) id: OwnedEventId,
    pub(super) json: String,
    /// When it was built.
    pub(super) at: Millis,
    pub(super) sender: OwnedUserId,
    pub(super) kind: String,
    pub(super) state_key: Option<String>,
    pub(super) replaces: Option<EventNumber>,
    pub(super) membership: Option<MembershipStep>,
    pub(super) transaction: Option<TransactionId>,
    pub(super) redacts: Option<Target>,
    pub(super) thread: Option<Thread>,
}

/// What an `m.room.member` event changes.
#[derive(Clone, Copy)]
pub(super) struct MembershipStep {
    pub(super) before: Option<Membership>,
    pub(super) after: Membership,
}

pub(crate) struct Turn<'a> {
    pub(super) rooms: &'a Rooms,
    pub(super) db: Snapshot,
    pub(super) facts: Facts,
    pub(super) changes: HashMap<Pair, Arc<StateEntry>>,
    pub(super) pending: Vec<Pending>,
}

impl Draft {
    /// A state event with this content.
    pub(crate) fn state(
        sender: &UserId,
        kind: &str,
        state_key: &str,
        content: &Map<String, Value>,
    ) -> Result<Self, RoomError> {
        Ok(Self {
            sender: sender.to_owned(),
            kind: kind.to_owned(),
            state_key: Some(state_key.to_owned()),
            content: Content::of(content)?,
            transaction: None,
            timestamp: None,
            redacts: None,
        })
    }
}

impl<'a> Turn<'a> {
    pub(super) fn new(rooms: &'a Rooms, db: Snapshot, facts: Facts) -> Self {
        Self {
            rooms,
            db,
            facts,
            changes: HashMap::new(),
            pending: Vec::new(),
        }
    }

    /// A turn that begins with the create event of a new room.
    pub(crate) async fn for_new_room(
        rooms: &'a Rooms,
        version: &RoomVersionId,
        rules: &'static RoomVersionRules,
    ) -> Result<Self, RoomError> {
        let db = rooms.snapshot().await?;
        let mut facts = Facts::of_new_room(version, rules);
        if !rules.authorization.room_create_event_id_as_room_id {
            let id = format!("!{}:{}", rooms.0.random.token(18), rooms.server_name());
            facts.room_id = Some(OwnedRoomId::try_from(id).map_err(|_| RoomError::Damaged)?);
        }
        Ok(Self::new(rooms, db, facts))
    }

    /// One piece of the state, with what this turn has changed.
    pub(super) async fn entry(
        &mut self,
        kind: &str,
        state_key: &str,
    ) -> Result<Option<Arc<StateEntry>>, RoomError> {
        let pair: Pair = (kind.into(), state_key.into());
        if let Some(changed) = self.changes.get(&pair) {
            return Ok(Some(changed.clone()));
        }
        self.facts.entry(self.rooms, &self.db, &pair).await
    }

    /// The membership of a user, with what this turn has changed.
    pub(super) async fn membership(
        &mut self,
        user: &UserId,
    ) -> Result<Option<Membership>, RoomError> {
        let entry = self.entry("m.room.member", user.as_str()).await?;
        Ok(entry.and_then(|entry| entry.membership))
    }

    /// Builds, signs and authorizes an event and takes it into the turn; if that fails, the turn is as before.
    pub(crate) async fn append(&mut self, draft: Draft) -> Result<Sent, RoomError> {
        let rules = self.facts.rules;
        let mut unsigned = self.unsigned(&draft);
        let mut auth_state = Vec::new();
        for (kind, state_key) in authorize::auth_types(rules, &unsigned)? {
            let Some(entry) = self.entry(&kind.to_string(), &state_key).await? else {
                continue;
            };
            unsigned.auth_events.push(entry.event.id().to_owned());
            auth_state.push((kind, state_key, entry));
        }
        if let Some(create) = self.entry("m.room.create", "").await? {
            auth_state.push((StateEventType::RoomCreate, String::new(), create));
        }
        authorize::authorize(rules, &unsigned, |kind, state_key| {
            let found = auth_state
                .iter()
                .find(|(k, s, _)| k == kind && s == state_key);
            found.map(|(_, _, entry)| entry.event.clone())
        })?;
        let signed = unsigned.sign(&*self.rooms.0.keys.current())?;
        self.accept(draft, signed, unsigned.depth.0).await
    }

    /// The event without its auth events, and not signed yet.
    fn unsigned(&self, draft: &Draft) -> event::Draft {
        let ends = &self.facts.head.extremities;
        let now = draft
            .timestamp
            .unwrap_or_else(|| self.rooms.0.clock.now().0);
        event::Draft {
            rules: self.facts.rules,
            room_id: self.facts.room_id.clone(),
            sender: draft.sender.clone(),
            kind: TimelineEventType::from(draft.kind.as_str()),
            state_key: draft.state_key.clone(),
            content: draft.content.clone(),
            auth_events: Vec::new(),
            prev_events: ends
                .iter()
                .filter_map(|end| EventId::parse(&end.event_id).ok())
                .collect(),
            depth: Depth::after(ends.iter().map(|end| Depth(end.depth))),
            origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(now)),
            redacts: draft.redacts.as_ref().map(|target| target.id.clone()),
        }
    }

    /// Takes an authorized event into the turn.
    async fn accept(
        &mut self,
        draft: Draft,
        signed: SignedPdu,
        depth: u64,
    ) -> Result<Sent, RoomError> {
        let number = self.rooms.numbers().next_event().await?;
        let thread = match self.facts.room {
            Some(room) => {
                let content = draft.content.as_str();
                self.rooms.find_thread(&self.db, room, content).await?
            }
            None => None,
        };
        let mut pending = Pending {
            number,
            id: signed.event_id.clone(),
            json: signed.json,
            at: self.rooms.0.clock.now(),
            sender: draft.sender,
            kind: draft.kind,
            state_key: draft.state_key,
            replaces: None,
            membership: None,
            transaction: draft.transaction,
            redacts: draft.redacts,
            thread,
        };
        if let Some(state_key) = pending.state_key.clone() {
            let event = AuthEvent::parse(pending.id.clone(), &pending.json)
                .map_err(|error| RoomError::BadContent(error.to_string()))?;
            let before = self.entry(&pending.kind, &state_key).await?;
            pending.replaces = before.as_ref().map(|entry| entry.number);
            let membership = member_word(&pending.kind, event.content());
            pending.membership = membership.map(|after| MembershipStep {
                before: before.and_then(|entry| entry.membership),
                after,
            });
            let entry = StateEntry {
                number,
                event,
                membership,
            };
            let pair = (pending.kind.as_str().into(), state_key.into());
            self.changes.insert(pair, Arc::new(entry));
        }
        let event_id = signed.event_id;
        self.facts.room_id = Some(signed.room_id);
        self.facts.head.extremities = vec![Extremity {
            event_id: event_id.to_string(),
            depth,
        }];
        self.pending.push(pending);
        Ok(Sent { event_id })
    }
}

/// The membership that a member event's content says.
fn member_word(kind: &str, content: &str) -> Option<Membership> {
    if kind != "m.room.member" {
        return None;
    }
    Membership::parse(&scan::string_member(content, "membership")?)
}
