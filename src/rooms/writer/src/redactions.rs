//! Redactions of other servers (server-server API and room versions, "Handling redactions"): an accepted one applies where its
//! sender has the power in the state before it, or is of the server of the target's sender. One that comes before its target
//! waits for it.

use database::Read as _;
use protocol::{authorize::AuthEvent, power_levels::PowerLevels, redact, scan};
use rooms_store::{RoomError, state_map::EventNumber, tables::EARLY_REDACTIONS};
use ruma::{OwnedEventId, state_res::Event as _};

use crate::{
    defects::Defect,
    received::ReceivedPdu,
    state_set::StateSet,
    turn::{Pause, Target, Turn, View},
};

/// Redactions of one event that are looked at when it arrives after them.
const MOST_EARLY_REDACTIONS: usize = 16;

impl Turn<'_> {
    /// The target of a redaction that may be applied, or its id where the target is not held yet.
    pub(crate) async fn redaction_of(
        &mut self,
        pdu: &ReceivedPdu,
        before: Option<View<'_>>,
    ) -> Result<(Option<Target>, Option<OwnedEventId>), Pause> {
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let parts = scan::scan(&pdu.json).map_err(|_| RoomError::Damaged)?;
        let id = parts.redacts_of(&pdu.json, &self.facts.rules.redaction);
        let Some(id) = id.and_then(|id| OwnedEventId::try_from(&*id).ok()) else {
            return Ok((None, None));
        };
        if self.pending.iter().any(|pending| pending.id == id) {
            return Err(Pause::CommitFirst);
        }
        let target = self.writer.rooms.event_by_id(&self.db, room, &id).await?;
        let Some(target) = target else {
            return Ok((None, Some(id)));
        };
        if target.redacted_because.is_some() {
            return Ok((None, None));
        }
        let levels = match before {
            Some(view) => self.levels_in(view).await?,
            None => self.levels_by_auth(&pdu.auth).await?,
        };
        let may_apply =
            redact::may_apply(self.facts.rules, &pdu.auth, &target.sender, levels.as_ref());
        if !may_apply && !self.writer.has(Defect::RedactionUnchecked) {
            return Ok((None, None));
        }
        let redacted_json = redact::redact(target.json(), &self.facts.rules.redaction)
            .map_err(|_| RoomError::Damaged)?;
        let target = Target {
            number: target.number,
            id,
            redacted_json,
        };
        Ok((Some(target), None))
    }

    /// The JSON to store: redacted already where an accepted redaction arrived before it got its place.
    pub(crate) async fn redacted_early(
        &mut self,
        pdu: &ReceivedPdu,
    ) -> Result<(String, Option<EventNumber>), RoomError> {
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let rooms = &self.writer.rooms;
        let held = rooms.event_by_id(&self.db, room, &pdu.event_id).await?;
        if let Some(held) = held
            && held.redacted_because.is_some()
        {
            // Redacted while it was an outlier.
            return Ok((held.json().to_owned(), held.redacted_because));
        }
        let rows = EARLY_REDACTIONS.under((room, pdu.event_id.as_str()));
        let early = self.db.page(rows, MOST_EARLY_REDACTIONS).await?;
        for ((_, _, number), ()) in early {
            let redaction = self
                .writer
                .rooms
                .named_event(&self.db, room, number)
                .await?;
            if !redaction.is_shown() {
                continue;
            }
            let parsed = AuthEvent::parse(redaction.id.clone(), redaction.json())
                .map_err(|_| RoomError::Damaged)?;
            let levels = match redaction.state_before() {
                Some(before) => self.levels_in(View::At(&StateSet::stored(before))).await?,
                None => self.levels_by_auth(&parsed).await?,
            };
            let sender = pdu.sender();
            let may_apply = redact::may_apply(self.facts.rules, &parsed, &sender, levels.as_ref());
            if may_apply || self.writer.has(Defect::RedactionUnchecked) {
                let json = redact::redact(&pdu.json, &self.facts.rules.redaction)
                    .map_err(|_| RoomError::Damaged)?;
                return Ok((json, Some(number)));
            }
        }
        Ok((pdu.json.clone(), None))
    }

    /// The power levels that an event names among its auth events: for a backfilled one, which has no state before it.
    async fn levels_by_auth(&self, event: &AuthEvent) -> Result<Option<PowerLevels>, RoomError> {
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let mut create = self.facts.create.clone();
        let mut levels = None;
        let ids: Vec<OwnedEventId> = event.auth_events().cloned().collect();
        for id in &ids {
            let Some(held) = self.writer.rooms.event_by_id(&self.db, room, id).await? else {
                continue;
            };
            let parsed =
                AuthEvent::parse(held.id.clone(), held.json()).map_err(|_| RoomError::Damaged)?;
            match &*held.kind {
                "m.room.create" => create = Some(parsed),
                "m.room.power_levels" => levels = Some(parsed),
                _ => {}
            }
        }
        let Some(create) = create else {
            return Ok(None);
        };
        Ok(PowerLevels::new(self.facts.rules, &create, levels.as_ref()).ok())
    }

    /// The power levels in a state; `None` where they are not readable.
    pub(crate) async fn levels_in(
        &mut self,
        view: View<'_>,
    ) -> Result<Option<PowerLevels>, RoomError> {
        let Some(create) = self.entry_in(view, "m.room.create", "").await? else {
            return Ok(None);
        };
        let levels = self.entry_in(view, "m.room.power_levels", "").await?;
        let levels = levels.as_ref().map(|entry| &entry.event);
        Ok(PowerLevels::new(self.facts.rules, &create.event, levels).ok())
    }
}
