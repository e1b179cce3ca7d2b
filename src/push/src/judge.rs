//! What the rules say of one event to one reader: with the rules that held when it came, and the room as it was then.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use database::Snapshot;
use protocol::{
    push::{self, Outcome, PushEvent, RoomContext},
    scan,
};
use rooms_store::{Event, RoomError};
use ruma::RoomId;

use crate::{meaning::Meaning, push::Parts, reader::Reader};

impl Parts {
    pub(crate) async fn meaning(
        &self,
        db: &Snapshot,
        event: &Event,
        room_id: &RoomId,
    ) -> Result<Arc<Meaning>, RoomError> {
        let key = (event.room, event.number);
        if let Some(meaning) = self.meanings.get(&key) {
            return Ok(meaning);
        }
        let parsed = PushEvent::new(event.json(), room_id).ok_or(RoomError::Damaged)?;
        let meaning = Arc::new(Meaning::of(&self.rooms, db, event, &parsed).await?);
        self.meanings.insert(key, meaning.clone());
        Ok(meaning)
    }

    /// The outcome of the rule that decides for this reader, if one does.
    pub(crate) async fn outcome<'r>(
        &self,
        db: &Snapshot,
        reader: &'r Reader,
        event: &Event,
        room_id: &RoomId,
        meaning: &Meaning,
    ) -> Result<Option<&'r Outcome>, RoomError> {
        if reader.is_deaf_to(event) {
            return Ok(None);
        }
        let rules = reader.rules_at(event.position);
        let power_levels = if rules.asks_for_power() {
            meaning.power_levels(&self.rooms, db, event).await?
        } else {
            None
        };
        let name = if rules.asks_for_name(&meaning.marks) {
            self.display_name(db, reader, event).await?
        } else {
            None
        };
        let room = RoomContext {
            member_count: event.joined_before(),
            power_levels,
        };
        let reader = push::Reader {
            user_id: &reader.user_id,
            display_name: name.as_deref(),
        };
        let parsed = OnceLock::new();
        let parse = || {
            let parsed: &Option<_> = parsed.get_or_init(|| self.parsed(event, room_id));
            parsed.as_deref()
        };
        Ok(rules.outcome(&meaning.marks, parse, &room, &reader))
    }

    /// The event, parsed for those whose own rules look into it.
    fn parsed(&self, event: &Event, room_id: &RoomId) -> Option<Arc<PushEvent>> {
        let key = (event.room, event.number);
        if let Some(parsed) = self.parsed.get(&key) {
            return Some(parsed);
        }
        let parsed = Arc::new(PushEvent::new(event.json(), room_id)?);
        self.parsed.insert(key, parsed.clone());
        Some(parsed)
    }

    /// The reader's display name in the room at the event.
    async fn display_name(
        &self,
        db: &Snapshot,
        reader: &Reader,
        event: &Event,
    ) -> Result<Option<String>, RoomError> {
        let Some(state) = event.state_before() else {
            return Ok(None);
        };
        let user_id = reader.user_id.as_str();
        let member = self
            .rooms
            .state_event(db, event.room, state, "m.room.member", user_id)
            .await?;
        let name = member.and_then(|member| {
            scan::string_member(member.content(), "displayname").map(Cow::into_owned)
        });
        Ok(name)
    }
}
