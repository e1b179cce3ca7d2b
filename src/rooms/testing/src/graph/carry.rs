//! The transport: who gets which event when, and with what it lacks.

use std::{collections::HashSet, sync::Arc};

use database::Read as _;
use protocol::authorize::{self, AuthEvent};
use protocol::{room_version, scan};
use rooms_store::{Event, Verdict, tables::ROOM_LOG};
use rooms_writer::{Arrival, Outcome, ReceivedPdu};
use ruma::{EventId, OwnedEventId, events::StateEventType, state_res::Event as _};

use super::{Letter, Net, Way};

/// How often an event is delivered whose auth events keep missing.
const MOST_TRIES: usize = 4;
/// Events walked back in one delivery.
const MOST_WALKED: usize = 2_000;

impl Net {
    pub(super) async fn receive(
        &self,
        at: usize,
        events: Vec<(ReceivedPdu, Arrival)>,
    ) -> Vec<Outcome> {
        let received = self.nodes[at].rooms.writer.receive(&self.room_id, events);
        let outcomes = received.await.expect("the room is known");
        outcomes
            .into_iter()
            .map(|outcome| outcome.expect("a healthy store"))
            .collect()
    }

    /// Finds the events that each server's users have sent since, and puts them into the others' inboxes.
    pub async fn collect(&mut self) {
        for at in 0..self.nodes.len() {
            let new = self.new_events(at).await;
            for other in (0..self.nodes.len()).filter(|other| *other != at) {
                let inbox = &mut self.nodes[other].inbox;
                inbox.extend(new.iter().map(|id| Letter {
                    from: at,
                    id: id.clone(),
                    way: Way::Sent,
                }));
            }
            self.known.extend(new);
        }
    }

    async fn new_events(&mut self, at: usize) -> Vec<OwnedEventId> {
        let node = &self.nodes[at];
        let rooms = &node.rooms.rooms;
        let db = rooms.snapshot().await.expect("a snapshot");
        let Some(room) = rooms.number(&db, &self.room_id).await.expect("a read") else {
            return Vec::new();
        };
        let log = db
            .page(ROOM_LOG.under(room), usize::MAX)
            .await
            .expect("rows");
        let mut new = Vec::new();
        for (_, entry) in &log[self.cursor[at]..] {
            let Some(number) = entry.event else { continue };
            let event = rooms
                .named_event(&db, room, number)
                .await
                .expect("an event");
            let is_own = event.sender.server_name() == rooms.server_name();
            if is_own && !self.forged.contains_key(&event.id) {
                new.push(event.id.clone());
            }
        }
        self.cursor[at] = log.len();
        new
    }

    /// Delivers one event of an inbox, chosen by chance, to a server that its sender reaches. Sometimes it stays there, to
    /// come twice.
    pub(super) async fn deliver_one(&mut self, at: usize) {
        let candidates: Vec<usize> = (0..self.nodes[at].inbox.len())
            .filter(|index| self.reaches(self.nodes[at].inbox[*index].from, at))
            .collect();
        if candidates.is_empty() {
            return;
        }
        let index = candidates[self.pick(candidates.len())];
        let mut letter = self.nodes[at].inbox[index].clone();
        if self.pick(8) != 0 {
            self.nodes[at].inbox.remove(index);
        }
        if self.ways.has_gaps && at > 0 && self.pick(4) == 0 && letter.way == Way::Sent {
            letter.way = Way::AcrossGap;
        }
        self.deliver(at, &letter).await;
    }

    /// Delivers everything that is under way, until nothing is.
    pub async fn heal(&mut self) {
        self.sides = None;
        loop {
            self.collect().await;
            let mut is_done = true;
            for at in 0..self.nodes.len() {
                for letter in std::mem::take(&mut self.nodes[at].inbox) {
                    is_done = false;
                    self.deliver(at, &letter).await;
                }
            }
            if is_done {
                return;
            }
        }
    }

    /// Delivers an event with whatever the receiver lacks before it.
    pub(super) async fn deliver(&self, at: usize, letter: &Letter) {
        if !self.is_in(at).await {
            return;
        }
        let from = letter.from;
        match letter.way {
            Way::Outlier => {
                if let Some(pdu) = self.carried(from, &letter.id).await {
                    self.receive(at, vec![(pdu, Arrival::Outlier)]).await;
                }
            }
            Way::AcrossGap => {
                if !self.deliver_across_gap(at, from, &letter.id).await {
                    self.deliver_with_previous(at, from, &letter.id).await;
                }
            }
            Way::Sent => self.deliver_with_previous(at, from, &letter.id).await,
        }
    }

    /// Delivers an event after all events before it that the receiver lacks.
    async fn deliver_with_previous(&self, at: usize, from: usize, id: &EventId) {
        let mut done: HashSet<OwnedEventId> = HashSet::new();
        let mut ahead = vec![(id.to_owned(), false)];
        while let Some((id, is_ready)) = ahead.pop() {
            if is_ready {
                if let Some(pdu) = self.carried(from, &id).await {
                    self.deliver_placed(at, from, &pdu).await;
                }
                continue;
            }
            let is_held = self.holds_placed(at, &id).await;
            if is_held || done.len() > MOST_WALKED || !done.insert(id.clone()) {
                continue;
            }
            let Some(pdu) = self.carried(from, &id).await else {
                continue;
            };
            ahead.push((id, true));
            let parts = scan::scan(&pdu.json).expect("an event");
            let previous = parts.previous_events(&pdu.json).unwrap_or_default();
            ahead.extend(previous.into_iter().map(|id| (id, false)));
        }
    }

    pub(super) async fn deliver_placed(&self, at: usize, from: usize, pdu: &ReceivedPdu) {
        for _ in 0..MOST_TRIES {
            let may_now = self.may_now(at, pdu).await;
            let outcome = self.receive(at, vec![(pdu.clone(), Arrival::Live)]).await;
            match &outcome[..] {
                [Outcome::Unchecked(missing)] => {
                    if !self.deliver_auth(at, from, missing).await {
                        return;
                    }
                }
                [Outcome::MissingPrevious(_)] => {
                    self.deliver_across_gap(at, from, &pdu.event_id).await;
                    return;
                }
                [outcome] => {
                    self.check_verdict(at, pdu, may_now, outcome).await;
                    return;
                }
                _ => return,
            }
        }
    }

    /// An event of which the current state says no is not accepted, and one is soft-failed only then.
    pub(super) async fn check_verdict(
        &self,
        at: usize,
        pdu: &ReceivedPdu,
        may_now: bool,
        outcome: &Outcome,
    ) {
        let is_wrong = match outcome {
            Outcome::Accepted => !may_now && self.is_in_log(at, &pdu.event_id).await,
            Outcome::SoftFailed(_) => may_now,
            _ => false,
        };
        if is_wrong {
            let id = &pdu.event_id;
            self.complain(format!(
                "{id} at {at}: {outcome:?}, the state says {may_now}"
            ));
        }
    }

    async fn is_in_log(&self, at: usize, id: &EventId) -> bool {
        let event = self.event(at, id).await;
        event.is_some_and(|event| event.placement().is_some())
    }

    /// Whether the current state of a server allows an event.
    pub(super) async fn may_now(&self, at: usize, pdu: &ReceivedPdu) -> bool {
        let rules = room_version::rules(&self.version).expect("a supported version");
        let event = AuthEvent::parse(pdu.event_id.clone(), &pdu.json).expect("an event");
        let mut pairs = authorize::auth_types(rules, &event).unwrap_or_default();
        pairs.push((StateEventType::RoomCreate, String::new()));
        let node = &self.nodes[at].rooms;
        let db = node.rooms.snapshot().await.expect("a snapshot");
        let room = node.rooms.require(&db, &self.room_id).await;
        let room = room.expect("a room");
        let root = node.rooms.head(&db, room).await.expect("a head").state;
        let mut state = Vec::new();
        for (kind, key) in pairs {
            let kind_text = kind.to_string();
            let found = node.rooms.state_event(&db, room, root, &kind_text, &key);
            if let Some(found) = found.await.expect("a read") {
                let parsed = AuthEvent::parse(found.id.clone(), found.json());
                state.push((kind, key, parsed.expect("an event")));
            }
        }
        let allowed = authorize::authorize(rules, &event, |kind, key| {
            let found = state.iter().find(|(k, s, _)| k == kind && s == key);
            found.map(|(_, _, event)| event.clone())
        });
        // A room without anything in it takes what its first event says.
        state.is_empty() || allowed.is_ok()
    }

    /// Delivers auth events; whether the sender had any.
    pub(super) async fn deliver_auth(
        &self,
        at: usize,
        from: usize,
        missing: &[OwnedEventId],
    ) -> bool {
        let mut is_found = false;
        for id in missing {
            if self.carried(from, id).await.is_some() {
                is_found = true;
                Box::pin(self.deliver_outlier(at, from, id)).await;
            }
        }
        is_found
    }

    /// Delivers an event as an outlier, after its auth events.
    pub(super) async fn deliver_outlier(&self, at: usize, from: usize, id: &EventId) {
        let Some(pdu) = self.carried(from, id).await else {
            return;
        };
        let parsed = AuthEvent::parse(pdu.event_id.clone(), &pdu.json).expect("an event");
        for id in parsed.auth_events() {
            let held = self.event(at, id).await;
            let is_decided = held.is_some_and(|held| held.verdict != Verdict::Unchecked);
            if !is_decided {
                Box::pin(self.deliver_outlier(at, from, id)).await;
            }
        }
        self.receive(at, vec![(pdu, Arrival::Outlier)]).await;
    }

    /// An event as a server sends it.
    pub(super) async fn carried(&self, from: usize, id: &EventId) -> Option<ReceivedPdu> {
        let json = match self.forged.get(id) {
            Some(json) => json.clone(),
            None => self.event(from, id).await?.json().to_owned(),
        };
        Some(ReceivedPdu::new(id.to_owned(), json).expect("a PDU"))
    }

    async fn holds_placed(&self, at: usize, id: &EventId) -> bool {
        let event = self.event(at, id).await;
        event.is_some_and(|event| event.place != rooms_store::Place::Outlier)
    }

    /// An event as one server holds it.
    pub async fn event(&self, at: usize, id: &EventId) -> Option<Arc<Event>> {
        let rooms = &self.nodes[at].rooms.rooms;
        let db = rooms.snapshot().await.expect("a snapshot");
        let room = rooms.number(&db, &self.room_id).await.expect("a read")?;
        rooms.event_by_id(&db, room, id).await.expect("a read")
    }
}
