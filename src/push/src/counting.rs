//! One reader's count of one room: from what is known up to a snapshot.

use std::{collections::BTreeSet, sync::Arc};

use database::{Position, Read, Snapshot, Stamp};
use protocol::push::RoomContext;
use rooms::{
    Event, RoomError,
    state_map::EventNumber,
    tables::{RECEIPTS, ROOM_LOG},
};
use ruma::{EventId, OwnedEventId};

use crate::{
    checkpoint::State,
    meaning::Meaning,
    push::{Parts, Place, Recent},
    reader::Reader,
    tables::UNREAD_CHECKPOINTS,
};

/// Events read at once.
const PAGE: usize = 256;

pub(crate) struct Counting<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) db: &'a Snapshot,
    pub(crate) reader: &'a Reader,
    pub(crate) place: &'a Place<'a>,
    pub(crate) recent: &'a Recent<'a>,
}

/// A receipt: its thread, empty for the whole room, and how far it reads.
pub(crate) type ReadTo = (String, Position);

impl Counting<'_> {
    /// Whether nothing that counts happened after this stamp, as far as that is known without reading.
    pub(crate) fn is_quiet_since(&self, stamp: Stamp) -> bool {
        let recent = self.recent;
        let is_known = recent.after <= stamp && recent.receipts_after <= stamp;
        let mut own = recent
            .receipts
            .iter()
            .filter(|(_, key, _)| key.user == self.reader.user);
        is_known
            && recent.entries.last().is_none_or(|(at, _)| at.0 <= stamp)
            && own.all(|(at, _, _)| at.0 <= stamp)
    }

    /// The counts at the checkpoint, or none at the join, with what was read since.
    pub(crate) async fn begin(&self) -> Result<State, RoomError> {
        let row = self
            .db
            .get(UNREAD_CHECKPOINTS.at((self.reader.user, self.place.room)))
            .await?;
        let row =
            row.filter(|row| row.joined_at == self.place.joined_at && row.as_of <= self.db.stamp());
        let mut state = match row {
            Some(row) => State { row, counted: 0 },
            None => State::at_join(self.place.joined_at),
        };
        let receipts = self.receipts_on_disk().await?;
        self.read_to(&mut state, &receipts).await?;
        Ok(state)
    }

    /// The reader's receipts after a stamp, or all of them.
    pub(crate) async fn receipts_since(&self, stamp: Stamp) -> Result<Vec<ReadTo>, RoomError> {
        if stamp < self.recent.receipts_after {
            return self.receipts_on_disk().await;
        }
        let mut receipts = Vec::new();
        for (at, key, receipt) in self.recent.receipts {
            if at.0 > stamp && key.user == self.reader.user {
                receipts.extend(self.read_position(&key.thread, &receipt.event_id).await?);
            }
        }
        Ok(receipts)
    }

    async fn receipts_on_disk(&self) -> Result<Vec<ReadTo>, RoomError> {
        let rows = RECEIPTS.under((self.place.room, self.reader.user));
        let mut receipts = Vec::new();
        for ((_, _, _, thread), row) in self.db.page(rows, usize::MAX).await? {
            receipts.extend(self.read_position(&thread, &row.value.event_id).await?);
        }
        Ok(receipts)
    }

    async fn read_position(
        &self,
        thread: &str,
        event_id: &str,
    ) -> Result<Option<ReadTo>, RoomError> {
        let Ok(event_id) = <&EventId>::try_from(event_id) else {
            return Ok(None);
        };
        let event = self
            .parts
            .rooms
            .event_by_id(self.db, self.place.room, event_id)
            .await?;
        Ok(event.map(|event| (thread.to_owned(), event.position)))
    }

    /// Takes what was read out of the counts.
    pub(crate) async fn read_to(
        &self,
        state: &mut State,
        receipts: &[ReadTo],
    ) -> Result<(), RoomError> {
        let mut concerned = BTreeSet::new();
        for (thread, position) in receipts {
            concerned.extend(state.read_to(thread, *position));
        }
        self.recount(state, &concerned).await
    }

    /// Counts these threads again, from where they are read up to where everything is counted.
    async fn recount(
        &self,
        state: &mut State,
        concerned: &BTreeSet<String>,
    ) -> Result<(), RoomError> {
        let unread = state.unread_threads();
        let threads: BTreeSet<&String> = concerned.intersection(&unread).collect();
        let Some(from) = threads.iter().map(|thread| state.read_of(thread)).min() else {
            return Ok(());
        };
        for thread in &threads {
            *state.counts_of(thread) = crate::Counts::default();
        }
        let through = Position::last_of(state.row.as_of);
        self.count(state, from, through, |thread| {
            threads.iter().any(|one| *one == thread)
        })
        .await?;
        state.tidy();
        Ok(())
    }

    /// Counts what happened since, up to the snapshot.
    pub(crate) async fn advance(&self, state: &mut State) -> Result<(), RoomError> {
        let before = Position::last_of(state.row.as_of);
        let through = Position::last_of(self.db.stamp());
        let from = before.max(state.row.read);
        let passed = self.count(state, from, through, |_| true).await?;
        state.counted += passed.events;
        if self
            .has_redacted_counted(state, &passed.redacted, before)
            .await?
        {
            let unread = state.unread_threads();
            state.row.as_of = self.db.stamp();
            self.recount(state, &unread).await?;
        }
        state.row.as_of = self.db.stamp();
        state.tidy();
        Ok(())
    }

    /// Whether one of the redacted events was counted before. Those that came since were found redacted.
    async fn has_redacted_counted(
        &self,
        state: &State,
        redacted: &[OwnedEventId],
        before: Position,
    ) -> Result<bool, RoomError> {
        let unread = state.unread_threads();
        let Some(from) = unread.iter().map(|thread| state.read_of(thread)).min() else {
            return Ok(false);
        };
        for id in redacted {
            let event = self
                .parts
                .rooms
                .event_by_id(self.db, self.place.room, id)
                .await?;
            if event.is_some_and(|event| event.position > from && event.position <= before) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds the events of some threads between two positions to the counts.
    async fn count(
        &self,
        state: &mut State,
        from: Position,
        through: Position,
        is_counted: impl Fn(&str) -> bool,
    ) -> Result<Passed, RoomError> {
        let mut passed = Passed::default();
        let mut from = from;
        loop {
            let page = self.entries(from, through).await?;
            let Some((last, _)) = page.last() else {
                return Ok(passed);
            };
            from = *last;
            let numbers: Vec<EventNumber> = page.iter().map(|(_, event)| *event).collect();
            let rooms = &self.parts.rooms;
            for event in rooms
                .named_events(self.db, self.place.room, &numbers)
                .await?
            {
                passed.events += 1;
                passed.redacted.extend(event.redacts.clone());
                let meaning = self.meaning(&event).await?;
                if !is_counted(&meaning.thread) || event.position <= state.read_of(&meaning.thread)
                {
                    continue;
                }
                let context = RoomContext {
                    member_count: self.recent.member_count,
                    power_levels: None,
                };
                let verdict = self.reader.verdict(&event, &meaning, &context);
                if verdict.notify {
                    state.counts_of(&meaning.thread).add(verdict);
                }
            }
        }
    }

    /// The next entries of the room's log, a page at most.
    async fn entries(
        &self,
        from: Position,
        through: Position,
    ) -> Result<Vec<(Position, EventNumber)>, RoomError> {
        if from >= Position::last_of(self.recent.after) {
            let entries = self.recent.entries;
            let start = entries.partition_point(|(at, _)| *at <= from);
            let end = entries.partition_point(|(at, _)| *at <= through).max(start);
            return Ok(entries[start..end].to_vec());
        }
        let room = self.place.room;
        let rows = ROOM_LOG
            .under(room)
            .after((room, from))
            .through((room, through));
        let page = self.db.page(rows, PAGE).await?;
        Ok(page
            .into_iter()
            .map(|((_, at), event)| (at, event))
            .collect())
    }

    async fn meaning(&self, event: &Event) -> Result<Arc<Meaning>, RoomError> {
        let key = (event.room, event.number);
        if let Some(meaning) = self.parts.meanings.get(&key) {
            return Ok(meaning);
        }
        let Parts { rooms, .. } = self.parts;
        let members = self.recent.member_count;
        let meaning = Meaning::of(rooms, self.db, event, self.place.room_id, members).await?;
        let meaning = Arc::new(meaning);
        self.parts.meanings.insert(key, meaning.clone());
        Ok(meaning)
    }
}

/// What a count came past.
#[derive(Default)]
struct Passed {
    events: usize,
    redacted: Vec<OwnedEventId>,
}
