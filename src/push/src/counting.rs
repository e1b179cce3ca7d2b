//! One reader's count of one room: from what is known up to a snapshot.

use std::{collections::BTreeSet, sync::Arc};

use database::{Position, Read, Snapshot, Stamp};
use rooms_store::{
    Event, RoomError,
    state_map::EventNumber,
    tables::{LogEntry, ROOM_LOG},
};
use ruma::OwnedEventId;

use crate::{
    checkpoint::State,
    push::{Parts, Place, Recent},
    reader::Reader,
    receipts::ReadTo,
    stretch::{Stretch, Walked, is_boundary},
    tables::UNREAD_CHECKPOINTS,
};

/// Events read at once.
const PAGE: usize = 256;
/// Events after which the counts are kept, so that who gives up waiting finds them further on.
const STEP: usize = 2048;

pub(crate) struct Counting<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) db: &'a Snapshot,
    pub(crate) reader: &'a Reader,
    pub(crate) place: &'a Place<'a>,
    pub(crate) recent: &'a Recent<'a>,
}

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
        let receipts = self
            .parts
            .receipts_on_disk(self.db, self.place.room, self.reader.user)
            .await?;
        self.read_to(&mut state, &receipts).await?;
        Ok(state)
    }

    /// The reader's receipts after a stamp, or all of them.
    pub(crate) async fn receipts_since(&self, stamp: Stamp) -> Result<Vec<ReadTo>, RoomError> {
        if stamp < self.recent.receipts_after {
            return self
                .parts
                .receipts_on_disk(self.db, self.place.room, self.reader.user)
                .await;
        }
        let mut receipts = Vec::new();
        for (at, key, receipt) in self.recent.receipts {
            if at.0 > stamp && key.user == self.reader.user {
                let read = self
                    .parts
                    .read_position(self.db, self.place.room, key, receipt);
                receipts.extend(read.await?);
            }
        }
        Ok(receipts)
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
        let span = Span {
            from,
            through: Position::last_of(state.row.as_of),
            step: usize::MAX,
        };
        let is_counted = |thread: &str| threads.iter().any(|one| *one == thread);
        self.count(state, span, is_counted).await?;
        state.tidy();
        Ok(())
    }

    /// Counts what happened since, up to the snapshot, or a part of it: [`STEP`] events or a few more. `begin` is where the first
    /// part began: what was counted before it may have been redacted since. Says whether everything is counted.
    pub(crate) async fn advance(
        &self,
        state: &mut State,
        begin: Stamp,
    ) -> Result<Progress, RoomError> {
        let through = Position::last_of(self.db.stamp());
        let from = Position::last_of(state.row.as_of).max(state.row.read);
        let span = Span {
            from,
            through,
            step: STEP,
        };
        let passed = self.count(state, span, |_| true).await?;
        state.counted += passed.events;
        state.row.as_of = passed.reached.unwrap_or(self.db.stamp());
        let begin = Position::last_of(begin);
        if self
            .has_redacted_counted(state, &passed.redacted, begin)
            .await?
        {
            let unread = state.unread_threads();
            self.recount(state, &unread).await?;
        }
        state.tidy();
        Ok(match passed.reached {
            Some(_) => Progress::Part,
            None => Progress::Whole,
        })
    }

    /// Whether one of the redacted events was counted before. Those that came since were found redacted.
    async fn has_redacted_counted(
        &self,
        state: &State,
        redacted: &[OwnedEventId],
        begin: Position,
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
            if event.is_some_and(|event| event.position > from && event.position <= begin) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds the events of some threads in a span of the room's log to the counts.
    async fn count(
        &self,
        state: &mut State,
        span: Span,
        is_counted: impl Fn(&str) -> bool,
    ) -> Result<Passed, RoomError> {
        let mut passed = Passed::default();
        let mut from = span.from;
        let mut last = Stamp::default();
        let mut walked: Option<Walked> = None;
        loop {
            let mut page = self.entries(from, span.through).await?;
            self.end_before_quiet(&mut page, span.through);
            let Some((end, _)) = page.last() else {
                return Ok(passed);
            };
            from = *end;
            let numbers: Vec<EventNumber> =
                page.iter().filter_map(|(_, entry)| entry.event).collect();
            let room = self.place.room;
            let rooms = &self.parts.rooms;
            for event in rooms.named_events(self.db, room, &numbers).await? {
                if passed.walked >= span.step && event.position.0 > last {
                    passed.reached = Some(last);
                    return Ok(passed);
                }
                last = event.position.0;
                passed.walked += 1;
                passed.events += 1;
                passed.redacted.extend(event.redacts.clone());
                self.count_one(state, &event, &is_counted, walked.as_mut())
                    .await?;
                if is_boundary(event.number) {
                    if let Some(walked) = walked.take() {
                        self.parts.keep_stretch(room, walked);
                    }
                    if self.parts.stretch(room, event.position).is_none() {
                        walked = Some(Walked::from(event.position));
                    }
                }
            }
            while let Some(quiet) = self.quiet_stretch(from, span.through) {
                passed.events += quiet.events;
                from = quiet.end;
                last = from.0;
                let is_known = self.parts.stretch(self.place.room, from).is_some();
                walked = (!is_known).then(|| Walked::from(from));
            }
        }
    }

    /// Cuts a page behind the first boundary where nothing more needs to be read for a while.
    fn end_before_quiet(&self, page: &mut Vec<(Position, LogEntry)>, through: Position) {
        let is_before_quiet = |(at, entry): &(Position, LogEntry)| {
            entry.event.is_some_and(is_boundary) && self.quiet_stretch(*at, through).is_some()
        };
        if let Some(boundary) = page.iter().position(is_before_quiet) {
            page.truncate(boundary + 1);
        }
    }

    /// The stretch behind a boundary, if it is known and nothing in it can notify the reader.
    fn quiet_stretch(&self, begin: Position, through: Position) -> Option<Arc<Stretch>> {
        let Place { room, room_id, .. } = *self.place;
        let stretch = self.parts.stretch(room, begin)?;
        let rules = self.reader.rules_after(begin)?;
        let is_quiet = stretch.end <= through
            && !stretch.has_redactions
            && rules.is_deaf_to(&stretch.stir, room_id, &self.reader.user_id);
        is_quiet.then_some(stretch)
    }

    async fn count_one(
        &self,
        state: &mut State,
        event: &Event,
        is_counted: &impl Fn(&str) -> bool,
        walked: Option<&mut Walked>,
    ) -> Result<(), RoomError> {
        let Self { parts, db, .. } = self;
        let is_deaf = self.reader.is_deaf_to(event);
        if is_deaf && walked.is_none() {
            return Ok(());
        }
        let room_id = self.place.room_id;
        let meaning = parts.meaning(db, event, room_id).await?;
        if let Some(walked) = walked {
            walked.add(event, &meaning);
        }
        let own = &*meaning.thread;
        let thread = state.counted_in(own);
        let read = state.read_of(thread).max(state.read_of(own));
        if is_deaf || !is_counted(thread) || event.position <= read {
            return Ok(());
        }
        let outcome = parts
            .outcome(db, self.reader, event, room_id, &meaning)
            .await?;
        if let Some(outcome) = outcome.filter(|outcome| outcome.verdict.notify) {
            state.counts_of(thread).add(outcome.verdict);
        }
        Ok(())
    }

    /// The next entries of the room's log, a page at most.
    async fn entries(
        &self,
        from: Position,
        through: Position,
    ) -> Result<Vec<(Position, LogEntry)>, RoomError> {
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
            .map(|((_, at), entry)| (at, entry))
            .collect())
    }
}

/// A part of a room's log.
struct Span {
    from: Position,
    through: Position,
    /// It may end when so many events were looked at, at the end of a commit.
    step: usize,
}

/// How far counting came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Part,
    Whole,
}

/// What a count came past.
#[derive(Default)]
struct Passed {
    events: usize,
    /// Those of them that were looked at.
    walked: usize,
    /// Where it ended, if that is before the end.
    reached: Option<Stamp>,
    redacted: Vec<OwnedEventId>,
}
