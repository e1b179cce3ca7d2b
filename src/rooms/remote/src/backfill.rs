//! History from before this server's time, for those who scroll up (server-server API, "Backfilling and retrieving missing
//! events"): fetched into the gap that a page of messages would end at, before the page is read.

use std::{collections::HashSet, time::Duration};

use database::{Position, Read as _, RoomNumber, Snapshot, Stamp};
use federation::{AnswerKind, Urgency};
use protocol::receive::Pdu;
use quick_cache::sync::Cache;
use rooms_history::{Direction, MessagesRequest};
use rooms_store::{
    Residency, RoomError,
    tables::{GAPS, Gap, TIMELINE},
};
use rooms_writer::Outcome;
use ruma::{
    EventId, OwnedEventId, OwnedServerName, RoomId, UInt,
    api::federation::backfill::get_backfill::v1::Request,
};
use tokio::time::timeout;

use crate::{
    delivery::{Delivery, is_settled},
    handle::RemoteRooms,
    inbox::Origins,
    missing,
};

/// How long a page of messages waits for other servers.
const LONGEST: Duration = Duration::from_secs(15);
/// Requests for one page of messages that reach other servers.
const ROUNDS: usize = 3;
const MOST_SERVERS: usize = 5;
/// Events of one request.
const PAGE: u32 = 100;
/// Missing events that one request names.
const MOST_NAMED: usize = 20;
/// Gaps near a page that are looked at.
const MOST_GAPS: usize = 8;
const MOST_PAGE: usize = 1_000;
/// Readers that wait while somebody else fetches for the same room.
const MOST_WAITING: usize = 8;
/// A gap that nobody could fill is left alone for so long.
const RETRY: Duration = Duration::from_mins(1);
/// Such gaps that are remembered.
const REMEMBERED: usize = 4_096;
/// Deliveries of one answer; each follows a fetch of auth events.
const DELIVERIES: usize = 3;

/// Owner: `RemoteRooms`.
pub(crate) struct Backfills {
    turns: Origins<RoomNumber>,
    /// When a gap was tried in vain, by the monotonic clock.
    failed: Cache<(RoomNumber, Position), Duration>,
}

impl Backfills {
    pub(crate) fn new() -> Self {
        Self {
            turns: Origins::new(),
            failed: Cache::new(REMEMBERED),
        }
    }
}

impl RemoteRooms {
    /// Fetches what a page of messages would miss, as far as it can be had in a short time. The reader has been let in. A
    /// failure is no failure of the page.
    pub async fn backfill(&self, room_id: &RoomId, request: &MessagesRequest) {
        if request.direction != Direction::Backward || !self.federation().policy().is_enabled() {
            return;
        }
        let from = request
            .from
            .map_or(Position::MAX, |token| token.pagination().position);
        let limit = request.limit.clamp(1, MOST_PAGE);
        match timeout(LONGEST, self.fill_gaps(room_id, from, limit)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(room.id = %room_id, %error, "could not backfill a room");
            }
            Err(_) => tracing::debug!(room.id = %room_id, "backfilling a room takes too long"),
        }
    }

    async fn fill_gaps(
        &self,
        room_id: &RoomId,
        from: Position,
        limit: usize,
    ) -> Result<(), RoomError> {
        let db = self.rooms().snapshot().await?;
        let Some(room) = self.rooms().number(&db, room_id).await? else {
            return Ok(());
        };
        if self.gap_in_reach(&db, room, from, limit).await?.is_none() {
            return Ok(());
        }
        drop(db);
        let Some(_turn) = self.0.backfills.turns.enter(room, MOST_WAITING).await else {
            return Ok(());
        };
        for _ in 0..ROUNDS {
            let db = self.rooms().snapshot().await?;
            let Some((at, gap)) = self.gap_in_reach(&db, room, from, limit).await? else {
                return Ok(());
            };
            drop(db);
            if !self.fill_gap(room, &gap).await? {
                let now = self.0.needs.clock.monotonic();
                self.0.backfills.failed.insert((room, at), now);
                return Ok(());
            }
        }
        Ok(())
    }

    /// The newest gap whose inner edge is within the page.
    async fn gap_in_reach(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        from: Position,
        limit: usize,
    ) -> Result<Option<(Position, Gap)>, RoomError> {
        if db.first(GAPS.under(room)).await?.is_none() {
            return Ok(None);
        }
        if self.rooms().head(db, room).await?.residency != Residency::Resident {
            return Ok(None);
        }
        let rows = TIMELINE.under(room).through((room, from)).reversed();
        let page = db.page(rows, limit).await?;
        let low = match page.last() {
            Some(((_, position), _)) if page.len() == limit => *position,
            _ => Position::MIN,
        };
        // Filled events are one stamp below their gap.
        let high = Position::last_of(Stamp(from.0.0.saturating_add(1)));
        let rows = GAPS.under(room).after((room, low)).through((room, high));
        let now = self.0.needs.clock.monotonic();
        for ((_, at), gap) in db.page(rows.reversed(), MOST_GAPS).await? {
            let edge = match gap.next_slot {
                u32::MAX => at.previous(),
                slot => Position(Stamp(at.0.0 - 1), slot),
            };
            let failed = self.0.backfills.failed.get(&(room, at));
            let is_resting = failed.is_some_and(|failed| now < failed + RETRY);
            if edge <= from && edge >= low && !is_resting {
                return Ok(Some((at, gap)));
            }
        }
        Ok(None)
    }

    /// Whether anything came.
    async fn fill_gap(&self, room: RoomNumber, gap: &Gap) -> Result<bool, RoomError> {
        let own = self.federation().server_name();
        let db = self.rooms().snapshot().await?;
        let servers = self.other_servers(&db, room, own, MOST_SERVERS).await?;
        drop(db);
        let Some(mut delivery) = Delivery::asking(self, room, servers.clone()).await? else {
            return Ok(false);
        };
        let missing = gap.missing.iter().take(MOST_NAMED);
        let missing: Vec<OwnedEventId> = missing.filter_map(|id| EventId::parse(id).ok()).collect();
        for server in servers {
            if delivery.backfill_from(&server, &missing).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Delivery<'_> {
    /// Asks one server for what precedes a gap. Whether anything came.
    async fn backfill_from(
        &mut self,
        server: &OwnedServerName,
        missing: &[OwnedEventId],
    ) -> Result<bool, RoomError> {
        if !self.may_ask() {
            return Ok(false);
        }
        let request = Request::new(self.room_id.clone(), missing.to_vec(), UInt::from(PAGE));
        let federation = self.remote.federation();
        let answer = federation.request(server, request, AnswerKind::Usual, Urgency::Background);
        let texts = match answer.await {
            Ok(answer) => answer.pdus,
            Err(error) => {
                self.note(server, error)?;
                return Ok(false);
            }
        };
        let fetched = self.checked(texts.into_iter().take(PAGE as usize)).await?;
        let newest_first = missing::reachable(fetched, missing);
        if newest_first.is_empty() {
            return Ok(false);
        }
        self.deliver_history(newest_first).await
    }

    /// Hands older events to the writer, each before those that precede it: that is how a gap is filled. Whether any
    /// went in.
    async fn deliver_history(&mut self, newest_first: Vec<Pdu>) -> Result<bool, RoomError> {
        let mut pending = newest_first;
        let mut is_any = false;
        for _ in 0..DELIVERIES {
            let outcomes = self.receive_live(&pending).await?;
            let mut auth = HashSet::new();
            let mut stuck = Vec::new();
            for (pdu, outcome) in pending.into_iter().zip(outcomes) {
                if let Ok(Outcome::Unchecked(missing)) = &outcome {
                    auth.extend(missing.iter().cloned());
                }
                match is_settled(&outcome) {
                    true => is_any |= !matches!(outcome, Ok(Outcome::Known)),
                    false => stuck.push(pdu),
                }
            }
            if auth.is_empty() || !self.fetch_auth(auth.into_iter().collect()).await? {
                break;
            }
            pending = stuck;
        }
        Ok(is_any)
    }
}
