//! Fetching what an event misses (server-server API, "Retrieving events" and "Backfilling and retrieving missing events"): previous
//! events, auth events, and where the previous ones cannot be had, the state before the event.

use std::collections::{HashMap, HashSet};

use federation::{AnswerKind, Urgency};
use futures_util::{StreamExt as _, stream};
use protocol::receive::Pdu;
use rooms_store::RoomError;
use rooms_writer::Arrival;
use ruma::{
    EventId, OwnedEventId, ServerName, UInt,
    api::federation::event::{get_event, get_missing_events, get_room_state, get_room_state_ids},
};
use serde_json::value::RawValue;

use crate::delivery::Delivery;

/// Rounds of one walk backwards.
const ROUNDS: usize = 10;
/// Events of one round.
const PAGE: u32 = 100;
/// Latest events that one round names.
const MOST_LATEST: usize = 20;
/// Rounds of fetching auth events of auth events.
const AUTH_ROUNDS: usize = 12;
/// Single events that are fetched at once.
const AT_ONCE: usize = 8;
/// Beyond so many events that are not held, the whole state is fetched at once.
const MOST_SINGLE: usize = 100;
/// Events of a state, and of its auth chain.
const MOST_STATE: usize = 200_000;
/// Outliers that are handed to the writer at once.
const CHUNK: usize = 500;

impl Delivery<'_> {
    /// Fetches the previous events of `target`, as far back as they are missing, and delivers them with it. Whether
    /// `target` is settled then.
    pub(crate) async fn fill(&mut self, target: &Pdu) -> Result<bool, RoomError> {
        let mut chain = HashMap::from([(target.event_id().to_owned(), target.clone())]);
        for _ in 0..ROUNDS {
            let ends = self.open_ends(&chain).await?;
            if ends.is_empty() || self.budget.events == 0 {
                break;
            }
            let before = chain.len();
            self.fetch_before(&ends, &mut chain).await?;
            if chain.len() == before {
                break;
            }
        }
        let ordered = in_order(chain, target.event_id());
        self.deliver_chain(ordered).await
    }

    /// The events of a chain with previous events that are neither placed nor in the chain.
    async fn open_ends(
        &self,
        chain: &HashMap<OwnedEventId, Pdu>,
    ) -> Result<Vec<OwnedEventId>, RoomError> {
        let rooms = self.remote.rooms();
        let db = rooms.snapshot().await?;
        let mut ends = Vec::new();
        for (id, pdu) in chain {
            let mut outside: Vec<OwnedEventId> = pdu.prev_events().cloned().collect();
            outside.retain(|previous| !chain.contains_key(previous));
            for previous in outside {
                let held = rooms.event_by_id(&db, self.room, &previous).await?;
                if held.is_none_or(|held| held.placement().is_none()) {
                    ends.push(id.clone());
                    break;
                }
            }
        }
        ends.sort_unstable();
        ends.truncate(MOST_LATEST);
        Ok(ends)
    }

    /// One round: what precedes these events, back to our extremities.
    async fn fetch_before(
        &mut self,
        latest: &[OwnedEventId],
        chain: &mut HashMap<OwnedEventId, Pdu>,
    ) -> Result<(), RoomError> {
        let rooms = self.remote.rooms();
        let head = rooms.head(&rooms.snapshot().await?, self.room).await?;
        let earliest = head.extremities.iter();
        let earliest = earliest.filter_map(|end| EventId::parse(&end.event_id).ok());
        let mut request = get_missing_events::v1::Request::new(
            self.room_id.clone(),
            earliest.collect(),
            latest.to_vec(),
        );
        request.limit = UInt::from(PAGE);
        for server in self.servers.clone() {
            if !self.may_ask() {
                return Ok(());
            }
            let federation = self.remote.federation();
            let answer = federation
                .request(
                    &server,
                    request.clone(),
                    AnswerKind::Usual,
                    Urgency::Background,
                )
                .await;
            let events = match answer {
                Ok(answer) => answer.events,
                Err(error) => {
                    self.note(&server, error)?;
                    continue;
                }
            };
            let most = self.budget.events.min(PAGE as usize);
            let fetched = self.checked(events.into_iter().take(most)).await?;
            self.budget.events = self.budget.events.saturating_sub(fetched.len().max(1));
            if connect(chain, fetched) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Fetches auth events, and theirs, and delivers them. Whether any was had.
    pub(crate) async fn fetch_auth(
        &mut self,
        missing: Vec<OwnedEventId>,
    ) -> Result<bool, RoomError> {
        let mut wanted = missing;
        let mut seen: HashSet<OwnedEventId> = wanted.iter().cloned().collect();
        let mut fetched = Vec::new();
        for _ in 0..AUTH_ROUNDS {
            // What is held waits for a verdict itself: its own auth events are missing.
            let absent = self.not_held(&wanted).await?;
            let held = wanted.iter().filter(|id| !absent.contains(id));
            let mut next = self.auth_of_held(held).await?;
            let new = self.fetch_events(absent).await?;
            for pdu in &new {
                next.extend(pdu.auth_events().cloned());
            }
            fetched.extend(new);
            next.retain(|id| seen.insert(id.clone()));
            wanted = next;
            if wanted.is_empty() {
                break;
            }
        }
        if fetched.is_empty() {
            return Ok(false);
        }
        self.deliver_outliers(fetched).await?;
        Ok(true)
    }

    /// The auth events that unchecked events wait for.
    async fn auth_of_held(
        &self,
        held: impl Iterator<Item = &OwnedEventId>,
    ) -> Result<Vec<OwnedEventId>, RoomError> {
        let rooms = self.remote.rooms();
        let db = rooms.snapshot().await?;
        let mut auth = Vec::new();
        for id in held {
            let event = rooms.event_by_id(&db, self.room, id).await?;
            let unchecked = event.filter(|event| event.verdict == rooms_store::Verdict::Unchecked);
            if let Some(event) = unchecked {
                auth.extend(event.parts().auth_events(event.json()).unwrap_or_default());
            }
        }
        Ok(auth)
    }

    /// The state before an event as its server has it, held here then. `None` where it cannot be had now.
    pub(crate) async fn state_before(
        &mut self,
        event_id: &EventId,
    ) -> Result<Option<Vec<OwnedEventId>>, RoomError> {
        if self.budget.states == 0 {
            return Ok(None);
        }
        self.budget.states -= 1;
        for server in self.servers.clone() {
            if !self.may_ask() {
                return Ok(None);
            }
            let request =
                get_room_state_ids::v1::Request::new(event_id.to_owned(), self.room_id.clone());
            let federation = self.remote.federation();
            let answer = federation
                .request(&server, request, AnswerKind::State, Urgency::Background)
                .await;
            let ids = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    self.note(&server, error)?;
                    continue;
                }
            };
            let (state, auth) = (ids.pdu_ids, ids.auth_chain_ids);
            if state.len() + auth.len() > MOST_STATE || state.is_empty() {
                continue;
            }
            if self.hold_state(&server, event_id, &state, &auth).await? {
                return Ok(Some(state));
            }
        }
        Ok(None)
    }

    /// Fetches what is not held of a state and its auth chain. Whether the whole state is held then.
    async fn hold_state(
        &mut self,
        server: &ServerName,
        event_id: &EventId,
        state: &[OwnedEventId],
        auth: &[OwnedEventId],
    ) -> Result<bool, RoomError> {
        let all: Vec<OwnedEventId> = state.iter().chain(auth).cloned().collect();
        let missing = self.not_held(&all).await?;
        let fetched = if missing.len() <= MOST_SINGLE {
            self.fetch_events(missing).await?
        } else {
            let whole = self.fetch_state(server, event_id).await?;
            let missing: HashSet<&EventId> = missing.iter().map(|id| &**id).collect();
            let whole = whole.into_iter();
            whole
                .filter(|pdu| missing.contains(pdu.event_id()))
                .collect()
        };
        self.deliver_outliers(fetched).await?;
        Ok(self.not_held(state).await?.is_empty())
    }

    /// A state with its auth chain, whole.
    async fn fetch_state(
        &mut self,
        server: &ServerName,
        event_id: &EventId,
    ) -> Result<Vec<Pdu>, RoomError> {
        if !self.may_ask() {
            return Ok(Vec::new());
        }
        let request = get_room_state::v1::Request::new(event_id.to_owned(), self.room_id.clone());
        let federation = self.remote.federation();
        let answer = federation
            .request(server, request, AnswerKind::State, Urgency::Background)
            .await;
        match answer {
            Ok(answer) => {
                let texts = answer.auth_chain.into_iter().chain(answer.pdus);
                self.checked(texts.take(MOST_STATE)).await
            }
            Err(error) => {
                self.note(server, error)?;
                Ok(Vec::new())
            }
        }
    }

    /// Fetches single events, from whichever server has them.
    pub(crate) async fn fetch_events(
        &mut self,
        ids: Vec<OwnedEventId>,
    ) -> Result<Vec<Pdu>, RoomError> {
        let mut wanted = ids;
        let mut fetched = Vec::new();
        for server in self.servers.clone() {
            wanted.truncate(self.budget.requests);
            if wanted.is_empty() {
                break;
            }
            self.budget.requests -= wanted.len();
            let texts = self.texts_of(&server, &wanted).await?;
            let pdus = self.checked(texts).await?;
            let asked: HashSet<OwnedEventId> = wanted.iter().cloned().collect();
            for pdu in pdus {
                if asked.contains(pdu.event_id()) {
                    wanted.retain(|id| id != pdu.event_id());
                    fetched.push(pdu);
                }
            }
        }
        Ok(fetched)
    }

    async fn texts_of(
        &self,
        server: &ServerName,
        ids: &[OwnedEventId],
    ) -> Result<Vec<Box<RawValue>>, RoomError> {
        let federation = self.remote.federation();
        let answers = stream::iter(ids.to_vec()).map(|id| async move {
            let request = get_event::v1::Request::new(id);
            federation
                .request(server, request, AnswerKind::Small, Urgency::Background)
                .await
        });
        let answers: Vec<_> = answers.buffered(AT_ONCE).collect().await;
        let mut texts = Vec::new();
        for answer in answers {
            match answer {
                Ok(answer) => texts.push(answer.pdu),
                Err(error) => self.note(server, error)?,
            }
        }
        Ok(texts)
    }

    /// Hands events to the writer as parts of a state, each after its auth events.
    pub(crate) async fn deliver_outliers(&mut self, pdus: Vec<Pdu>) -> Result<(), RoomError> {
        let mut ordered = by_auth(pdus);
        while !ordered.is_empty() {
            let rest = ordered.split_off(ordered.len().min(CHUNK));
            let chunk = ordered.into_iter().map(|pdu| (pdu, Arrival::Outlier));
            self.receive(chunk.collect()).await?;
            ordered = rest;
        }
        Ok(())
    }
}

/// Adds those of the fetched events that a chain refers to, directly or through each other. Whether
/// there was one.
fn connect(chain: &mut HashMap<OwnedEventId, Pdu>, fetched: Vec<Pdu>) -> bool {
    let mut fetched: HashMap<OwnedEventId, Pdu> = fetched
        .into_iter()
        .map(|pdu| (pdu.event_id().to_owned(), pdu))
        .collect();
    let mut ahead: Vec<OwnedEventId> = chain
        .values()
        .flat_map(|pdu| pdu.prev_events().cloned())
        .collect();
    let mut is_any = false;
    while let Some(id) = ahead.pop() {
        if let Some(pdu) = fetched.remove(&id) {
            ahead.extend(pdu.prev_events().cloned());
            chain.insert(id, pdu);
            is_any = true;
        }
    }
    is_any
}

/// Those of the fetched events that `from` leads to, each before those that precede it.
pub(crate) fn reachable(fetched: Vec<Pdu>, from: &[OwnedEventId]) -> Vec<Pdu> {
    let mut fetched: HashMap<OwnedEventId, Pdu> = fetched
        .into_iter()
        .map(|pdu| (pdu.event_id().to_owned(), pdu))
        .collect();
    let mut ahead = from.to_vec();
    let mut found = Vec::new();
    while let Some(id) = ahead.pop() {
        if let Some(pdu) = fetched.remove(&id) {
            ahead.extend(pdu.prev_events().cloned());
            found.push(pdu);
        }
    }
    let mut ordered = sorted(found, |pdu| pdu.prev_events().cloned().collect());
    ordered.reverse();
    ordered
}

/// The events of a chain, each after its previous ones, `last` at the end. Without what is in a
/// cycle, which room versions 1 and 2 cannot exclude.
fn in_order(chain: HashMap<OwnedEventId, Pdu>, last: &EventId) -> Vec<Pdu> {
    let edges = |pdu: &Pdu| pdu.prev_events().cloned().collect::<Vec<_>>();
    let mut ordered = sorted(chain.into_values().collect(), edges);
    if let Some(at) = ordered.iter().position(|pdu| pdu.event_id() == last) {
        ordered.truncate(at + 1);
    }
    ordered
}

/// The events, each after its auth events.
fn by_auth(pdus: Vec<Pdu>) -> Vec<Pdu> {
    sorted(pdus, |pdu| pdu.auth_events().cloned().collect())
}

/// Sorts topologically; among those that could come next, by depth and id.
fn sorted(pdus: Vec<Pdu>, edges: impl Fn(&Pdu) -> Vec<OwnedEventId>) -> Vec<Pdu> {
    use std::{cmp::Reverse, collections::BinaryHeap};

    let mut by_id: HashMap<OwnedEventId, Pdu> = HashMap::new();
    for pdu in pdus {
        by_id.insert(pdu.event_id().to_owned(), pdu);
    }
    let mut open: HashMap<OwnedEventId, usize> = HashMap::new();
    let mut followers: HashMap<OwnedEventId, Vec<OwnedEventId>> = HashMap::new();
    let mut ready = BinaryHeap::new();
    for (id, pdu) in &by_id {
        let before: HashSet<OwnedEventId> = edges(pdu).into_iter().collect();
        let before: Vec<_> = before
            .into_iter()
            .filter(|before| by_id.contains_key(before))
            .collect();
        if before.is_empty() {
            ready.push(Reverse((pdu.depth(), id.clone())));
        }
        open.insert(id.clone(), before.len());
        for before in before {
            followers.entry(before).or_default().push(id.clone());
        }
    }
    let mut ordered = Vec::with_capacity(by_id.len());
    while let Some(Reverse((_, id))) = ready.pop() {
        for follower in followers.remove(&id).unwrap_or_default() {
            let Some(count) = open.get_mut(&follower) else {
                continue;
            };
            *count -= 1;
            if *count == 0
                && let Some(pdu) = by_id.get(&follower)
            {
                ready.push(Reverse((pdu.depth(), follower)));
            }
        }
        ordered.extend(by_id.remove(&id));
    }
    ordered
}
