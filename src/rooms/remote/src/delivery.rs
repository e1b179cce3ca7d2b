//! One room's events on their way to its writer, and what is fetched for them.
//!
//! A delivery is one attempt on behalf of one server. Its budget bounds what it fetches, in requests, events and gaps;
//! its caller bounds the time.

use database::{Read as _, RoomNumber, Snapshot};
use federation::FederationError;
use protocol::{receive::Pdu, room_version};
use rooms_store::{Residency, RoomError, tables::EVENT_NUMBERS};
use rooms_writer::{Arrival, Outcome, ReceivedPdu};
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedServerName, RoomVersionId, ServerName,
    room_version_rules::RoomVersionRules,
};

use crate::{check::Checked, handle::RemoteRooms};

/// Attempts to place one event; each fetches what the one before found missing.
const TRIES: usize = 4;
/// Servers that are asked beside the one that sent the event.
const MOST_OTHERS: usize = 2;
/// Servers among which those are chosen.
const CHOICE: usize = 64;

/// What one delivery may still fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) requests: usize,
    /// Events of graph walks.
    pub(crate) events: usize,
    /// States before events whose previous events cannot be had.
    pub(crate) states: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            requests: 1_000,
            events: 1_000,
            states: 4,
        }
    }
}

/// An attempt to bring events of one server into one room.
pub(crate) struct Delivery<'a> {
    pub(crate) remote: &'a RemoteRooms,
    pub(crate) room: RoomNumber,
    pub(crate) room_id: OwnedRoomId,
    rules: &'static RoomVersionRules,
    /// Whom to ask, the sending server first.
    pub(crate) servers: Vec<OwnedServerName>,
    pub(crate) budget: Budget,
}

/// Whether an outcome is final.
pub(crate) fn is_settled(outcome: &Result<Outcome, RoomError>) -> bool {
    match outcome {
        Ok(Outcome::Unchecked(_) | Outcome::MissingPrevious(_)) => false,
        Ok(Outcome::Accepted | Outcome::SoftFailed(_) | Outcome::Rejected(_) | Outcome::Known)
        | Err(_) => true,
    }
}

impl<'a> Delivery<'a> {
    /// On behalf of the server that sent events. `None` where this server is not in the room.
    pub(crate) async fn new(
        remote: &'a RemoteRooms,
        room: RoomNumber,
        origin: &str,
    ) -> Result<Option<Self>, RoomError> {
        let Ok(origin) = OwnedServerName::try_from(origin) else {
            return Ok(None);
        };
        let db = remote.rooms().snapshot().await?;
        let mut servers = vec![origin.clone()];
        servers.extend(
            remote
                .other_servers(&db, room, &origin, MOST_OTHERS)
                .await?,
        );
        Self::asking(remote, room, servers).await
    }

    /// Asks these servers, in their order. `None` where this server is not in the room.
    pub(crate) async fn asking(
        remote: &'a RemoteRooms,
        room: RoomNumber,
        servers: Vec<OwnedServerName>,
    ) -> Result<Option<Self>, RoomError> {
        let rooms = remote.rooms();
        let db = rooms.snapshot().await?;
        let head = rooms.head(&db, room).await?;
        if head.residency != Residency::Resident {
            return Ok(None);
        }
        let version = RoomVersionId::try_from(head.version).map_err(|_| RoomError::Damaged)?;
        Ok(Some(Self {
            remote,
            room,
            room_id: rooms.room_id(&db, room).await?,
            rules: room_version::rules(&version).ok_or(RoomError::Damaged)?,
            servers,
            budget: Budget::default(),
        }))
    }

    pub(crate) fn rules(&self) -> &'static RoomVersionRules {
        self.rules
    }

    /// Hands events to the room's writer as they are. An error of the database is the error of all.
    pub(crate) async fn receive_live(
        &mut self,
        pdus: &[Pdu],
    ) -> Result<Vec<Result<Outcome, RoomError>>, RoomError> {
        let live = pdus.iter().map(|pdu| (pdu.clone(), Arrival::Live));
        self.receive(live.collect()).await
    }

    pub(crate) async fn receive(
        &mut self,
        pdus: Vec<(Pdu, Arrival)>,
    ) -> Result<Vec<Result<Outcome, RoomError>>, RoomError> {
        if pdus.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<OwnedEventId> = pdus
            .iter()
            .map(|(pdu, _)| pdu.event_id().to_owned())
            .collect();
        let received = pdus
            .into_iter()
            .map(|(pdu, arrival)| (ReceivedPdu::of(pdu), arrival));
        let writer = self.remote.writer();
        let outcomes = writer.receive(&self.room_id, received.collect()).await?;
        let mut whole = Vec::with_capacity(outcomes.len());
        for (id, outcome) in ids.iter().zip(outcomes) {
            match &outcome {
                Err(RoomError::Store(_) | RoomError::ShuttingDown) => {
                    return outcome.map(|_| whole);
                }
                Err(error) => {
                    tracing::warn!(event.id = %id, room.id = %self.room_id, %error,
                        "cannot receive an event of another server");
                }
                Ok(Outcome::Rejected(reason) | Outcome::SoftFailed(reason)) => {
                    tracing::debug!(event.id = %id, room.id = %self.room_id, reason,
                        "an event of another server is not shown");
                }
                Ok(_) => {}
            }
            whole.push(outcome);
        }
        Ok(whole)
    }

    async fn receive_one(
        &mut self,
        pdu: &Pdu,
        arrival: Arrival,
    ) -> Result<Result<Outcome, RoomError>, RoomError> {
        let mut outcomes = self.receive(vec![(pdu.clone(), arrival)]).await?;
        Ok(outcomes.pop().unwrap_or(Ok(Outcome::Known)))
    }

    /// Brings an event into the room, with everything it needs. Whether it is settled.
    pub(crate) async fn complete(&mut self, pdu: &Pdu) -> Result<bool, RoomError> {
        for _ in 0..TRIES {
            let outcome = self.receive_one(pdu, Arrival::Live).await?;
            let has_more = match outcome {
                Ok(Outcome::Unchecked(missing)) => self.fetch_auth(missing).await?,
                Ok(Outcome::MissingPrevious(_)) => self.fill(pdu).await?,
                _ => return Ok(true),
            };
            if !has_more {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Brings events into the room whose missing previous events cannot be had, oldest first. Whether all are settled.
    pub(crate) async fn deliver_chain(&mut self, mut chain: Vec<Pdu>) -> Result<bool, RoomError> {
        while !chain.is_empty() {
            let outcomes = self.receive_live(&chain).await?;
            let Some(at) = outcomes.iter().position(|outcome| !is_settled(outcome)) else {
                return Ok(true);
            };
            let rest = chain.split_off(at + 1);
            let Some(stuck) = chain.pop() else {
                return Ok(false);
            };
            if !self.unstick(&stuck).await? {
                return Ok(false);
            }
            chain = rest;
        }
        Ok(true)
    }

    /// Places one event, after a gap if need be.
    async fn unstick(&mut self, pdu: &Pdu) -> Result<bool, RoomError> {
        for _ in 0..TRIES {
            let outcome = self.receive_one(pdu, Arrival::Live).await?;
            let has_more = match outcome {
                Ok(Outcome::Unchecked(missing)) => self.fetch_auth(missing).await?,
                Ok(Outcome::MissingPrevious(_)) => {
                    let Some(state) = self.state_before(pdu.event_id()).await? else {
                        return Ok(false);
                    };
                    let arrival = Arrival::AfterGap { state };
                    is_settled(&self.receive_one(pdu, arrival).await?)
                }
                _ => return Ok(true),
            };
            if !has_more {
                return Ok(false);
            }
        }
        Ok(false)
    }

    /// Fetches what precedes an event that found no room in the inbox, and the event.
    pub(crate) async fn catch_up(&mut self, id: &EventId) -> Result<bool, RoomError> {
        let fetched = self.fetch_events(vec![id.to_owned()]).await?;
        let mut is_whole = !fetched.is_empty();
        for pdu in fetched {
            is_whole &= self.complete(&pdu).await?;
        }
        Ok(is_whole)
    }

    /// Those of these events that are not held, not even as parts of a state.
    pub(crate) async fn not_held(
        &self,
        ids: &[OwnedEventId],
    ) -> Result<Vec<OwnedEventId>, RoomError> {
        let db = self.remote.rooms().snapshot().await?;
        let mut missing = Vec::new();
        for chunk in ids.chunks(1_000) {
            let rows = chunk
                .iter()
                .map(|id| EVENT_NUMBERS.at((self.room, id.as_str())));
            let held = db.get_many(rows.collect()).await?;
            let without = chunk
                .iter()
                .zip(held)
                .filter(|(_, number)| number.is_none());
            missing.extend(without.map(|(id, _)| id.clone()));
        }
        Ok(missing)
    }

    /// Checks texts, and keeps the valid events of this room.
    pub(crate) async fn checked<T: Into<Box<str>>>(
        &self,
        texts: impl IntoIterator<Item = T>,
    ) -> Result<Vec<Pdu>, RoomError> {
        let checked = self.remote.check(self.rules, texts).await?;
        let own = checked.into_iter().filter_map(|checked| match checked {
            Checked::Valid(pdu) if pdu.room_id() == self.room_id => Some(pdu),
            Checked::Valid(_) | Checked::Bad(_) | Checked::KeysMissing(..) => None,
        });
        Ok(own.collect())
    }

    /// Logs why a server was of no help. Only an error of our own is returned.
    pub(crate) fn note(
        &self,
        server: &ServerName,
        error: FederationError,
    ) -> Result<(), RoomError> {
        match error {
            FederationError::Store(error) => Err(error.into()),
            error => {
                tracing::debug!(server.name = %server, room.id = %self.room_id, %error,
                    "a server does not help with missing events");
                Ok(())
            }
        }
    }

    /// Takes one request off the budget.
    pub(crate) fn may_ask(&mut self) -> bool {
        let may = self.budget.requests > 0;
        self.budget.requests = self.budget.requests.saturating_sub(1);
        may
    }
}

impl RemoteRooms {
    /// Some servers of a room other than this one and `besides`, in random order, preferring those that answer.
    pub(crate) async fn other_servers(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        besides: &ServerName,
        most: usize,
    ) -> Result<Vec<OwnedServerName>, RoomError> {
        let own = self.federation().server_name();
        let all = self.rooms().servers_in_room(db, room, None, CHOICE).await?;
        let mut rated = Vec::with_capacity(all.len());
        for server in all {
            if server != own && server != besides && self.federation().policy().permits(&server) {
                let is_silent = self
                    .federation()
                    .backoff()
                    .retry_at(&server)
                    .await?
                    .is_some();
                rated.push((is_silent, self.0.needs.random.u64(), server));
            }
        }
        rated.sort_unstable();
        rated.truncate(most);
        Ok(rated.into_iter().map(|(_, _, server)| server).collect())
    }
}
