//! Building local events: an intent of a local user becomes a signed event on the room's extremities.

use std::sync::Arc;

use protocol::{
    authorize::{self, AuthEvent},
    content::Content,
    event::{self, Depth, MAX_PREVIOUS_EVENTS, OldFormat, SignedPdu},
    hash, scan,
};
use rooms_store::{Membership, RoomError, Verdict, tables::Extremity};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, UInt, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::{Map, Value};

use crate::{
    facts::StateEntry,
    send::{Sent, Transaction},
    turn::{Pause, Pending, Placing, Target, Turn, View},
};

/// An event that a local user wants; the turn adds what the room says.
pub(crate) struct Draft {
    pub(crate) sender: OwnedUserId,
    pub(crate) kind: String,
    pub(crate) state_key: Option<String>,
    pub(crate) content: Content,
    pub(crate) transaction: Option<Transaction>,
    pub(crate) timestamp: Option<u64>,
    pub(crate) redacts: Option<Target>,
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

/// The parts of the state that authorize an event.
type AuthState = Vec<(StateEventType, String, Arc<StateEntry>)>;

impl Turn<'_> {
    /// Builds, signs and authorizes an event and takes it into the turn; if that fails, the turn is as before.
    pub(crate) async fn append(&mut self, draft: Draft) -> Result<Sent, Pause> {
        let rules = self.facts.rules;
        let previous = self.chosen_extremities();
        let is_on_head = previous.len() == self.facts.head.extremities.len();
        let fork = if is_on_head {
            None
        } else {
            let ids = previous.iter().map(|end| end.event_id.clone()).collect();
            Some(self.state_after_all(ids).await?)
        };
        let view = fork.as_ref().map_or(View::Current, View::At);
        let mut unsigned = self.unsigned(&draft, &previous);
        let mut auth_state = AuthState::new();
        let mut auth = Vec::new();
        for (kind, state_key) in authorize::auth_types(rules, &unsigned).map_err(RoomError::from)? {
            let entry = self.entry_in(view, &kind.to_string(), &state_key).await?;
            let Some(entry) = entry else { continue };
            unsigned.auth_events.push(entry.event.id().to_owned());
            auth.push(entry.number);
            auth_state.push((kind, state_key, entry));
        }
        if let Some(create) = self.entry_in(view, "m.room.create", "").await? {
            auth_state.push((StateEventType::RoomCreate, String::new(), create));
        }
        check(rules, &unsigned, &auth_state)?;
        unsigned.old_format = self.old_format(&unsigned).await?.map(Box::new);
        let signed = unsigned
            .sign(&*self.writer.shared.keys.current())
            .map_err(RoomError::from)?;
        self.accept(draft, signed, unsigned.depth, auth, fork).await
    }

    /// The extremities that a new event follows: all, or the deepest where there are too many.
    fn chosen_extremities(&self) -> Vec<Extremity> {
        let mut chosen = self.facts.head.extremities.clone();
        if chosen.len() > MAX_PREVIOUS_EVENTS {
            chosen.sort_by(|left, right| {
                (right.depth, &right.event_id).cmp(&(left.depth, &left.event_id))
            });
            chosen.truncate(MAX_PREVIOUS_EVENTS);
        }
        chosen
    }

    /// The event without its auth events, and not signed yet.
    fn unsigned(&self, draft: &Draft, previous: &[Extremity]) -> event::Draft {
        let now = draft
            .timestamp
            .unwrap_or_else(|| self.writer.shared.clock.now().0);
        event::Draft {
            rules: self.facts.rules,
            room_id: self.facts.room_id.clone(),
            sender: draft.sender.clone(),
            kind: TimelineEventType::from(draft.kind.as_str()),
            state_key: draft.state_key.clone(),
            content: draft.content.clone(),
            auth_events: Vec::new(),
            prev_events: previous
                .iter()
                .filter_map(|end| EventId::parse(&end.event_id).ok())
                .collect(),
            depth: Depth::after(previous.iter().map(|end| Depth(end.depth))),
            origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(now)),
            redacts: draft.redacts.as_ref().map(|target| target.id.clone()),
            old_format: None,
        }
    }

    /// What events of room versions 1 and 2 have besides: an id of their own and the hashes of the events they name.
    async fn old_format(&self, draft: &event::Draft) -> Result<Option<OldFormat>, RoomError> {
        if !self.facts.rules.event_format.require_event_id {
            return Ok(None);
        }
        Ok(Some(OldFormat {
            event_id: self.writer.new_event_id()?,
            auth_hashes: self.reference_hashes(&draft.auth_events).await?,
            prev_hashes: self.reference_hashes(&draft.prev_events).await?,
        }))
    }

    async fn reference_hashes(&self, ids: &[OwnedEventId]) -> Result<Vec<[u8; 32]>, RoomError> {
        let rules = self.facts.rules;
        let mut hashes = Vec::with_capacity(ids.len());
        for id in ids {
            let pending = self.pending.iter().find(|pending| pending.id == *id);
            let hash = match (pending, self.facts.room) {
                (Some(pending), _) => hash::reference_hash(rules, &pending.json),
                (None, Some(room)) => {
                    let event = self.writer.rooms.event_by_id(&self.db, room, id).await?;
                    let event = event.ok_or(RoomError::Damaged)?;
                    hash::reference_hash(rules, event.json())
                }
                (None, None) => return Err(RoomError::Damaged),
            };
            hashes.push(hash.map_err(|_| RoomError::Damaged)?);
        }
        Ok(hashes)
    }

    /// Takes an authorized event into the turn.
    async fn accept(
        &mut self,
        draft: Draft,
        signed: SignedPdu,
        depth: Depth,
        auth: Vec<rooms_store::state_map::EventNumber>,
        fork: Option<crate::state_set::StateSet>,
    ) -> Result<Sent, Pause> {
        let number = match fork {
            Some(_) => self.facts.reserve(self.writer, "").await?,
            None => self.writer.rooms.numbers().next_event().await?,
        };
        let thread = match self.facts.room {
            Some(room) => {
                let content = draft.content.as_str();
                let rooms = &self.writer.rooms;
                rooms.find_held_thread(&self.db, room, content).await?
            }
            None => None,
        };
        let event = AuthEvent::parse(signed.event_id.clone(), &signed.json)
            .map_err(|error| RoomError::BadContent(error.to_string()))?;
        let view = fork.as_ref().map_or(View::Current, View::At);
        let replaces = match &draft.state_key {
            Some(state_key) => self.entry_in(view, &draft.kind, state_key).await?,
            None => None,
        };
        let end = Extremity {
            event_id: signed.event_id.to_string(),
            depth: depth.0,
        };
        let (placing, extremities) = match fork {
            None => (Placing::OnHead, vec![end]),
            Some(before) => {
                self.forked(number, &event, auth.clone(), before, end, Vec::new())
                    .await?
            }
        };
        let pending = Pending {
            number,
            id: signed.event_id.clone(),
            json: signed.json,
            at: self.writer.shared.clock.now(),
            sender: draft.sender,
            membership: member_word(&draft.kind, event.content()),
            kind: draft.kind,
            state_key: draft.state_key,
            verdict: Verdict::Accepted,
            placing,
            auth,
            waits_for: Vec::new(),
            settled: Vec::new(),
            replaces: replaces.map(|entry| entry.number),
            transaction: draft.transaction,
            redacted_because: None,
            redacts: draft.redacts,
            redacts_later: None,
            thread,
            is_new: true,
        };
        self.facts.room_id = Some(signed.room_id);
        self.facts.release("");
        self.take(pending, &event, Some(extremities));
        Ok(Sent {
            event_id: signed.event_id,
        })
    }
}

fn check(
    rules: &ruma::room_version_rules::RoomVersionRules,
    event: &event::Draft,
    auth_state: &AuthState,
) -> Result<(), RoomError> {
    authorize::authorize(rules, event, |kind, state_key| {
        let found = auth_state
            .iter()
            .find(|(k, s, _)| k == kind && s == state_key);
        found.map(|(_, _, entry)| entry.event.clone())
    })?;
    Ok(())
}

/// The membership that a member event's content says.
pub(crate) fn member_word(kind: &str, content: &str) -> Option<Membership> {
    if kind != "m.room.member" {
        return None;
    }
    Membership::parse(&scan::string_member(content, "membership")?)
}
