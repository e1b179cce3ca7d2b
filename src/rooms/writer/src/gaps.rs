//! Gaps in the timeline: an event whose previous events cannot be had opens one, events that come later fill it from its newest
//! end to its oldest.

use std::collections::BTreeMap;

use database::{Placed, Position, Read, Slot};
use rooms_store::{
    Place, RoomError, Verdict,
    state_map::EventNumber,
    tables::{FIRST_FILLED_SLOT, GAPS, Gap, MISSING_EVENTS, TIMELINE},
};
use ruma::OwnedEventId;

use crate::{
    commit::Writing,
    defects::Defect,
    judge::HeldAuth,
    receive::{outcome, rejected_or},
    received::{Outcome, ReceivedPdu},
    state_set::StateSet,
    turn::{Fill, Fork, Pause, Placing, Turn, View},
};

impl Turn<'_> {
    /// Puts an event that a gap misses into the gap. It enters the timeline only: no state, no log, no notification.
    pub(crate) async fn fill(
        &mut self,
        pdu: &ReceivedPdu,
        number: EventNumber,
        auth: HeldAuth,
        by_auth: Result<(), String>,
        gap: Position,
    ) -> Result<Outcome, Pause> {
        if !self.pending.is_empty() {
            return Err(Pause::CommitFirst);
        }
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let row = self.db.get(GAPS.at((room, gap))).await?;
        let mut row = row.ok_or(RoomError::Damaged)?;
        let verdict = rejected_or(by_auth, Verdict::Accepted);
        let outcome = outcome(&verdict);
        row.missing.retain(|id| *id != pdu.event_id.as_str());
        let now_missing = self.not_in_timeline(pdu.previous_events()).await?;
        row.missing
            .extend(now_missing.iter().map(ToString::to_string));
        let fill = Fill {
            gap,
            position: Position(database::Stamp(gap.0.0 - 1), row.next_slot),
            row: Gap {
                next_slot: row.next_slot - 1,
                ..row
            },
            now_missing,
        };
        let placing = Placing::Filled(fill);
        self.take_in(pdu, number, auth, verdict, placing, View::Current, None)
            .await?;
        Ok(outcome)
    }

    /// Those of the events that are not in the timeline, and that no gap misses yet.
    pub(crate) async fn not_in_timeline(
        &self,
        ids: Vec<OwnedEventId>,
    ) -> Result<Vec<OwnedEventId>, RoomError> {
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let mut missing = Vec::new();
        for id in ids {
            let event = self.writer.rooms.event_by_id(&self.db, room, &id).await?;
            let is_placed = event.is_some_and(|event| event.place != Place::Outlier);
            let row = MISSING_EVENTS.at((room, id.as_str()));
            if !is_placed && !self.db.exists(row).await? {
                missing.push(id);
            }
        }
        Ok(missing)
    }

    /// A state given by the ids of its events. Rejected ones are no part of a state.
    pub(crate) async fn given_state(
        &mut self,
        ids: &[OwnedEventId],
    ) -> Result<StateSet, RoomError> {
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let mut events = Vec::with_capacity(ids.len());
        let mut unnamed = Vec::new();
        for id in ids {
            let event = self.writer.rooms.event_by_id(&self.db, room, id).await?;
            let event = event.ok_or(RoomError::UnknownEvent)?;
            if event.is_rejected() || event.verdict == Verdict::Unchecked {
                continue;
            }
            let Some(state_key) = event.state_key.clone() else {
                continue;
            };
            let pair = (event.kind.clone(), state_key);
            if self.state_key_number(&pair.0, &pair.1).await?.is_none() {
                unnamed.push(pair.clone());
            }
            events.push((pair, event.number));
        }
        self.intern(&unnamed).await?;
        let mut state = BTreeMap::new();
        for ((kind, state_key), number) in events {
            let key = self.state_key_number(&kind, &state_key).await?;
            state.insert(key.ok_or(RoomError::Damaged)?, Some(number));
        }
        Ok(StateSet::of(state))
    }
}

impl Writing<'_> {
    /// Notes the gap before an event whose previous events are missing.
    pub(crate) fn open_gap(&self, fork: &Fork, slot: Slot) {
        if fork.missing.is_empty() || self.writer.has(Defect::GapForgotten) {
            return;
        }
        let gap = Gap {
            missing: fork.missing.iter().map(ToString::to_string).collect(),
            next_slot: u32::MAX,
        };
        self.txn.append(GAPS.end(self.room), slot, &gap);
        for id in &fork.missing {
            let row = MISSING_EVENTS.at((self.room, id.as_str()));
            self.txn.put_placed(row, &(), slot);
        }
    }

    /// Puts an event into a gap, and closes the gap with its last one.
    pub(crate) fn fill(&self, fill: &Fill) {
        let Self {
            txn, room, event, ..
        } = *self;
        txn.delete(MISSING_EVENTS.at((room, event.id.as_str())));
        for id in &fill.now_missing {
            let row = Placed {
                value: (),
                position: fill.gap,
            };
            txn.put(MISSING_EVENTS.at((room, id.as_str())), &row);
        }
        if fill.row.missing.is_empty() || fill.row.next_slot < FIRST_FILLED_SLOT {
            txn.delete(GAPS.at((room, fill.gap)));
        } else {
            txn.put(GAPS.at((room, fill.gap)), &fill.row);
        }
        if event.is_accepted() {
            txn.put(TIMELINE.at((room, fill.position)), &event.number);
        }
    }
}
