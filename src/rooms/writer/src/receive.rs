//! Receiving events of other servers (server-server API, "Checks performed on receipt of a PDU", from the authorization by
//! auth events on): each gets its verdict and its place, then joins the turn like a local one.

use std::collections::{BTreeMap, HashSet};

use database::{Position, Read};
use protocol::{
    authorize::{self, AuthEvent},
    power_levels::PowerLevels,
    redact,
};
use rooms_store::{
    Place, Residency, RoomError, Verdict,
    state_map::EventNumber,
    tables::{EARLY_REDACTIONS, EVENT_NUMBERS, Extremity, GAPS, MISSING_EVENTS},
};
use ruma::{EventId, OwnedEventId, events::StateEventType, state_res::Event as _};

use crate::{
    build::member_word,
    received::{Arrival, Outcome, ReceivedPdu},
    state_set::StateSet,
    turn::{Pause, Pending, Placing, Target, Turn, View},
};

/// Redactions of one event that are looked at when it arrives after them.
const MOST_EARLY_REDACTIONS: usize = 16;

/// The auth events of a received event, as far as they are held.
#[derive(Default)]
struct HeldAuth {
    events: Vec<AuthEvent>,
    numbers: Vec<EventNumber>,
    /// Missing ones, and those that are not judged themselves.
    undecided: Vec<OwnedEventId>,
}

impl Turn<'_> {
    /// Judges, places and takes in one event.
    pub(crate) async fn receive(
        &mut self,
        pdu: &ReceivedPdu,
        arrival: &Arrival,
    ) -> Result<Outcome, Pause> {
        if self
            .pending
            .iter()
            .any(|pending| pending.id == pdu.event_id)
        {
            return Err(Pause::CommitFirst);
        }
        let needs_create = self.facts.names_its_create() && self.facts.create.is_none();
        if needs_create && !self.pending.is_empty() {
            return Err(Pause::CommitFirst);
        }
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let rooms = &self.writer.rooms;
        let held = rooms.event_by_id(&self.db, room, &pdu.event_id).await?;
        if let Some(held) = &held {
            let is_outlier = held.place == Place::Outlier;
            let is_judged = held.verdict != Verdict::Unchecked;
            if !is_outlier || (is_judged && matches!(arrival, Arrival::Outlier)) {
                return Ok(Outcome::Known);
            }
        }
        let number = match &held {
            Some(held) => held.number,
            None => {
                self.facts
                    .reserve(self.writer, pdu.event_id.as_str())
                    .await?
            }
        };
        let auth = self.held_auth(pdu).await?;
        if !auth.undecided.is_empty() {
            let undecided = auth.undecided.clone();
            let verdict = Verdict::Unchecked;
            self.take_in(
                pdu,
                number,
                auth,
                verdict,
                Placing::Outlier,
                View::Current,
                None,
            )
            .await?;
            return Ok(Outcome::Unchecked(undecided));
        }
        let by_auth = self.judge_by_auth_events(pdu, &auth);
        if matches!(arrival, Arrival::Outlier) {
            let verdict = rejected_or(by_auth, Verdict::Accepted);
            let outcome = outcome(&verdict);
            self.take_in(
                pdu,
                number,
                auth,
                verdict,
                Placing::Outlier,
                View::Current,
                None,
            )
            .await?;
            return Ok(outcome);
        }
        let gap = self
            .db
            .get(MISSING_EVENTS.at((room, pdu.event_id.as_str())));
        if let Some(gap) = gap.await? {
            return self.fill(pdu, number, auth, by_auth, gap.position).await;
        }
        self.place(pdu, number, auth, by_auth, arrival).await
    }

    /// Places an event in the graph.
    async fn place(
        &mut self,
        pdu: &ReceivedPdu,
        number: EventNumber,
        auth: HeldAuth,
        by_auth: Result<(), String>,
        arrival: &Arrival,
    ) -> Result<Outcome, Pause> {
        let previous = pdu.previous_events();
        let end = Extremity {
            event_id: pdu.event_id.to_string(),
            depth: pdu.depth,
        };
        let is_state_given = matches!(arrival, Arrival::AfterGap { .. } | Arrival::Join { .. });
        if !is_state_given && self.follows_all(&previous) {
            return self.place_on_head(pdu, number, auth, by_auth, end).await;
        }
        if !self.pending.is_empty() {
            return Err(Pause::CommitFirst);
        }
        let missing = self.unplaced(&previous).await?;
        let before = match arrival {
            Arrival::AfterGap { state } | Arrival::Join { state } => {
                self.given_state(state).await?
            }
            Arrival::Live | Arrival::Outlier if missing.is_empty() => {
                let ids = previous.iter().map(ToString::to_string).collect();
                self.state_after_all(ids).await?
            }
            Arrival::Live | Arrival::Outlier => return Ok(Outcome::MissingPrevious(missing)),
        };
        let by_state = match by_auth {
            Ok(()) => self.judge_in(View::At(&before), &pdu.auth).await?,
            Err(reason) => Err(reason),
        };
        let enters = matches!(arrival, Arrival::Join { .. })
            && self.facts.head.residency != Residency::Resident;
        let verdict = match by_state {
            Err(reason) => Verdict::Rejected(reason),
            Ok(()) if enters || self.facts.head.extremities.is_empty() => Verdict::Accepted,
            Ok(()) => match self.judge_in(View::Current, &pdu.auth).await? {
                Ok(()) => Verdict::Accepted,
                Err(reason) => Verdict::SoftFailed(reason),
            },
        };
        let outcome = outcome(&verdict);
        let view = before.clone();
        let (placing, extremities) = if verdict == Verdict::Accepted && !enters {
            let numbers = auth.numbers.clone();
            let placed = self.forked(number, &pdu.auth, numbers, before, end, missing);
            let (placing, extremities) = placed.await?;
            (placing, Some(extremities))
        } else {
            let fork = crate::turn::Fork {
                before,
                current: None,
                missing,
            };
            let is_accepted = verdict == Verdict::Accepted;
            (Placing::Fork(fork), is_accepted.then(|| vec![end]))
        };
        self.take_in(
            pdu,
            number,
            auth,
            verdict,
            placing,
            View::At(&view),
            extremities,
        )
        .await?;
        Ok(outcome)
    }

    /// Places an event that follows all extremities.
    async fn place_on_head(
        &mut self,
        pdu: &ReceivedPdu,
        number: EventNumber,
        auth: HeldAuth,
        by_auth: Result<(), String>,
        end: Extremity,
    ) -> Result<Outcome, Pause> {
        let verdict = match by_auth {
            Ok(()) => self.judge_in(View::Current, &pdu.auth).await?,
            Err(reason) => Err(reason),
        };
        let verdict = rejected_or(verdict, Verdict::Accepted);
        let outcome = outcome(&verdict);
        let extremities = (verdict == Verdict::Accepted).then(|| vec![end]);
        self.take_in(
            pdu,
            number,
            auth,
            verdict,
            Placing::OnHead,
            View::Current,
            extremities,
        )
        .await?;
        Ok(outcome)
    }

    /// Puts an event that a gap misses into the gap. It enters the timeline only: no state, no log, no notification.
    async fn fill(
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
        let mut now_missing = Vec::new();
        for id in pdu.previous_events() {
            let number = self.db.get(EVENT_NUMBERS.at((room, id.as_str()))).await?;
            let is_placed = match number {
                Some(number) => {
                    let event = self
                        .writer
                        .rooms
                        .named_event(&self.db, room, number)
                        .await?;
                    event.place != Place::Outlier
                }
                None => false,
            };
            if !is_placed && !row.missing.iter().any(|known| *known == id.as_str()) {
                row.missing.push(id.to_string());
                now_missing.push(id);
            }
        }
        let fill = crate::turn::Fill {
            gap,
            position: Position(database::Stamp(gap.0.0 - 1), row.next_slot),
            row: rooms_store::tables::Gap {
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

    /// Whether these are exactly the extremities as of this turn.
    fn follows_all(&self, previous: &[OwnedEventId]) -> bool {
        let ends = &self.facts.head.extremities;
        let previous: HashSet<&str> = previous.iter().map(|id| id.as_str()).collect();
        previous.len() == ends.len()
            && ends
                .iter()
                .all(|end| previous.contains(end.event_id.as_str()))
    }

    /// Those of the events that are not placed with a state.
    async fn unplaced(&self, ids: &[OwnedEventId]) -> Result<Vec<OwnedEventId>, RoomError> {
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let mut unplaced = Vec::new();
        for id in ids {
            let event = self.writer.rooms.event_by_id(&self.db, room, id).await?;
            if event.is_none_or(|event| event.placement().is_none()) {
                unplaced.push(id.clone());
            }
        }
        Ok(unplaced)
    }

    /// A state given by the ids of its events. Rejected ones are no part of a state.
    async fn given_state(&mut self, ids: &[OwnedEventId]) -> Result<StateSet, RoomError> {
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

    async fn held_auth(&self, pdu: &ReceivedPdu) -> Result<HeldAuth, Pause> {
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
    fn judge_by_auth_events(&self, pdu: &ReceivedPdu, auth: &HeldAuth) -> Result<(), String> {
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
    async fn judge_in(
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

    #[expect(
        clippy::too_many_arguments,
        reason = "all that is known of an event, once"
    )]
    async fn take_in(
        &mut self,
        pdu: &ReceivedPdu,
        number: EventNumber,
        auth: HeldAuth,
        verdict: Verdict,
        placing: Placing,
        view: View<'_>,
        extremities: Option<Vec<Extremity>>,
    ) -> Result<(), Pause> {
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let kind = pdu.auth.kind().to_string();
        let state_key = pdu.auth.state_key().map(str::to_owned);
        let is_placed = matches!(placing, Placing::OnHead | Placing::Fork(_));
        let replaces = match &state_key {
            Some(state_key) if is_placed => self.entry_in(view, &kind, state_key).await?,
            _ => None,
        };
        let is_shown = is_placed && verdict == Verdict::Accepted;
        let (redacts, redacts_later) = if is_shown && kind == "m.room.redaction" {
            self.redaction_of(pdu, view).await?
        } else {
            (None, None)
        };
        let rooms = &self.writer.rooms;
        let thread = if state_key.is_none() {
            let content = pdu.auth.content().to_owned();
            rooms.find_thread(&self.db, room, &content).await?
        } else {
            None
        };
        let known = self
            .db
            .exists(EVENT_NUMBERS.at((room, pdu.event_id.as_str())))
            .await?;
        let (json, redacted_because) = self.redacted_early(pdu).await?;
        let pending = Pending {
            number,
            id: pdu.event_id.clone(),
            json,
            redacted_because,
            at: self.writer.shared.clock.now(),
            sender: pdu.sender(),
            membership: member_word(&kind, pdu.auth.content()),
            kind,
            state_key,
            verdict,
            placing,
            settled: if known && auth.undecided.is_empty() {
                pdu.auth_events()
            } else {
                Vec::new()
            },
            auth: auth.numbers,
            waits_for: auth.undecided,
            replaces: replaces.map(|entry| entry.number),
            transaction: None,
            redacts,
            redacts_later,
            thread,
            is_new: !known,
        };
        self.facts.release(pdu.event_id.as_str());
        self.take(pending, &pdu.auth, extremities);
        Ok(())
    }

    /// The target of a redaction that may be applied, or its id where the target is not held yet.
    async fn redaction_of(
        &mut self,
        pdu: &ReceivedPdu,
        view: View<'_>,
    ) -> Result<(Option<Target>, Option<OwnedEventId>), Pause> {
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let Some(id) = pdu.auth.redacts().cloned() else {
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
        let levels = self.levels_in(view).await?;
        let may_apply =
            redact::may_apply(self.facts.rules, &pdu.auth, &target.sender, levels.as_ref());
        if !may_apply {
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

    /// The JSON to store: redacted already where an accepted redaction arrived first.
    async fn redacted_early(
        &mut self,
        pdu: &ReceivedPdu,
    ) -> Result<(String, Option<EventNumber>), RoomError> {
        let room = self.facts.room.ok_or(RoomError::UnknownRoom)?;
        let rows = EARLY_REDACTIONS.under((room, pdu.event_id.as_str()));
        let early = self.db.page(rows, MOST_EARLY_REDACTIONS).await?;
        for ((_, _, number), ()) in early {
            let redaction = self
                .writer
                .rooms
                .named_event(&self.db, room, number)
                .await?;
            let Some(before) = redaction.state_before().filter(|_| redaction.is_shown()) else {
                continue;
            };
            let before = StateSet::stored(before);
            let levels = self.levels_in(View::At(&before)).await?;
            let parsed = AuthEvent::parse(redaction.id.clone(), redaction.json())
                .map_err(|_| RoomError::Damaged)?;
            let sender = pdu.sender();
            if redact::may_apply(self.facts.rules, &parsed, &sender, levels.as_ref()) {
                let json = redact::redact(&pdu.json, &self.facts.rules.redaction)
                    .map_err(|_| RoomError::Damaged)?;
                return Ok((json, Some(number)));
            }
        }
        Ok((pdu.json.clone(), None))
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

fn rejected_or(judged: Result<(), String>, otherwise: Verdict) -> Verdict {
    match judged {
        Ok(()) => otherwise,
        Err(reason) => Verdict::Rejected(reason),
    }
}

fn outcome(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Accepted => Outcome::Accepted,
        Verdict::SoftFailed(reason) => Outcome::SoftFailed(reason.clone()),
        Verdict::Rejected(reason) => Outcome::Rejected(reason.clone()),
        Verdict::Unchecked => Outcome::Unchecked(Vec::new()),
    }
}
