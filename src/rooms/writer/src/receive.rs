//! Receiving events of other servers (server-server API, "Checks performed on receipt of a PDU", from the authorization by
//! auth events on): each gets its verdict and its place, then joins the turn like a local one.

use std::collections::HashSet;

use database::Read as _;
use rooms_store::{
    Place, Residency, RoomError, Verdict,
    state_map::EventNumber,
    tables::{EVENT_NUMBERS, Extremity, MISSING_EVENTS},
};
use ruma::OwnedEventId;

use crate::{
    build::member_word,
    defects::Defect,
    judge::HeldAuth,
    received::{Arrival, Outcome, ReceivedPdu},
    state_set::StateSet,
    turn::{Fork, Pause, Pending, Placing, Turn, View},
};

impl Turn<'_> {
    /// Judges, places and takes in one event.
    pub(crate) async fn receive(
        &mut self,
        pdu: &ReceivedPdu,
        arrival: &Arrival,
    ) -> Result<Outcome, Pause> {
        if self.pending.iter().any(|pending| pending.concerns(pdu)) {
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
        let missing = self.not_in_timeline(missing).await?;
        let enters = matches!(arrival, Arrival::Join { .. })
            && self.facts.head.residency != Residency::Resident;
        let verdict = self.verdict_in_fork(pdu, by_auth, &before, enters).await?;
        let outcome = outcome(&verdict);
        let view = before.clone();
        let (placing, extremities) = if verdict == Verdict::Accepted && !enters {
            let numbers = auth.numbers.clone();
            let placed = self.forked(number, &pdu.auth, numbers, before, end, missing);
            let (placing, extremities) = placed.await?;
            (placing, Some(extremities))
        } else {
            let fork = Fork {
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

    /// The verdict on an event that does not follow all extremities: by its auth events, by the state
    /// before it, and by the current state, unless this server only enters the room with it.
    async fn verdict_in_fork(
        &mut self,
        pdu: &ReceivedPdu,
        by_auth: Result<(), String>,
        before: &StateSet,
        enters: bool,
    ) -> Result<Verdict, Pause> {
        let view = match self.writer.has(Defect::CurrentStateOnly) {
            true => View::Current,
            false => View::At(before),
        };
        let by_state = match by_auth {
            Ok(()) => self.judge_in(view, &pdu.auth).await?,
            Err(reason) => Err(reason),
        };
        Ok(match by_state {
            Err(reason) => Verdict::Rejected(reason),
            Ok(()) if enters || self.facts.head.extremities.is_empty() => Verdict::Accepted,
            Ok(()) if self.writer.has(Defect::SoftFailLeftOut) => Verdict::Accepted,
            Ok(()) => match self.judge_in(View::Current, &pdu.auth).await? {
                Ok(()) => Verdict::Accepted,
                Err(reason) => Verdict::SoftFailed(reason),
            },
        })
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

    #[expect(
        clippy::too_many_arguments,
        reason = "all that is known of an event, once"
    )]
    pub(crate) async fn take_in(
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
        let is_shown = verdict == Verdict::Accepted && !matches!(placing, Placing::Outlier);
        let (redacts, redacts_later) = if is_shown && kind == "m.room.redaction" {
            self.redaction_of(pdu, is_placed.then_some(view)).await?
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
}

pub(crate) fn rejected_or(judged: Result<(), String>, otherwise: Verdict) -> Verdict {
    match judged {
        Ok(()) => otherwise,
        Err(reason) => Verdict::Rejected(reason),
    }
}

pub(crate) fn outcome(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Accepted => Outcome::Accepted,
        Verdict::SoftFailed(reason) => Outcome::SoftFailed(reason.clone()),
        Verdict::Rejected(reason) => Outcome::Rejected(reason.clone()),
        Verdict::Unchecked => Outcome::Unchecked(Vec::new()),
    }
}
