//! The authorization of an event of another server: by its own auth events, and by any state of the room.

use protocol::authorize::{self, AuthEvent};
use rooms_store::{RoomError, Verdict, state_map::EventNumber};
use ruma::{EventId, OwnedEventId, events::StateEventType};

use crate::{
    received::ReceivedPdu,
    turn::{Pause, Turn, View},
};

/// The auth events of a received event, as far as they are held.
#[derive(Default)]
pub(crate) struct HeldAuth {
    pub(crate) events: Vec<AuthEvent>,
    pub(crate) numbers: Vec<EventNumber>,
    /// Missing ones, and those that are not judged themselves.
    pub(crate) undecided: Vec<OwnedEventId>,
}

impl Turn<'_> {
    pub(crate) async fn held_auth(&self, pdu: &ReceivedPdu) -> Result<HeldAuth, Pause> {
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let mut auth = HeldAuth::default();
        for id in pdu.auth_events() {
            if self.pending.iter().any(|pending| pending.id == id) {
                return Err(Pause::CommitFirst);
            }
            let event = self.writer.rooms.event_by_id(&self.db, room, &id).await?;
            let Some(event) = event.filter(|event| event.verdict != Verdict::Unchecked) else {
                auth.undecided.push(id);
                continue;
            };
            let parsed = AuthEvent::parse(id, event.json()).map_err(|_| RoomError::Damaged)?;
            auth.numbers.push(event.number);
            auth.events.push(if event.is_rejected() {
                parsed.rejected()
            } else {
                parsed
            });
        }
        Ok(auth)
    }

    /// Checks an event against its own auth events.
    pub(crate) fn judge_by_auth_events(
        &self,
        pdu: &ReceivedPdu,
        auth: &HeldAuth,
    ) -> Result<(), String> {
        let rules = self.facts.rules;
        let create = self.facts.create.as_ref();
        let by_id = |id: &EventId| {
            let held = auth.events.iter().chain(create);
            held.into_iter().find(|event| event.id() == id).cloned()
        };
        authorize::check_auth_events(rules, &pdu.auth, by_id).map_err(|error| error.to_string())?;
        let state = |kind: &StateEventType, state_key: &str| {
            let found = auth.events.iter().find(|event| {
                event.kind().to_string() == kind.to_string() && event.state_key() == Some(state_key)
            });
            let is_create = *kind == StateEventType::RoomCreate;
            found.or(create.filter(|_| is_create)).cloned()
        };
        authorize::authorize(rules, &pdu.auth, state).map_err(|error| error.to_string())
    }

    /// Checks an event against a state.
    pub(crate) async fn judge_in(
        &mut self,
        view: View<'_>,
        event: &AuthEvent,
    ) -> Result<Result<(), String>, Pause> {
        let rules = self.facts.rules;
        let mut pairs = match authorize::auth_types(rules, event) {
            Ok(pairs) => pairs,
            Err(error) => return Ok(Err(error.to_string())),
        };
        pairs.push((StateEventType::RoomCreate, String::new()));
        let mut state = Vec::with_capacity(pairs.len());
        for (kind, state_key) in pairs {
            let entry = self.entry_in(view, &kind.to_string(), &state_key).await?;
            state.extend(entry.map(|entry| (kind, state_key, entry)));
        }
        let judged = authorize::authorize(rules, event, |kind, state_key| {
            let found = state.iter().find(|(k, s, _)| k == kind && s == state_key);
            found.map(|(_, _, entry)| entry.event.clone())
        });
        Ok(judged.map_err(|error| error.to_string()))
    }
}
