//! Walking over a room's timeline in either direction, seeing only what the reader may see and asked for.
//!
//! A filter that matches little does not make an answer long: after `MOST_ROWS` the walk stops, and its token goes on from
//! there.

use std::sync::Arc;

use database::{Position, Read, RoomNumber, Rows, Snapshot};

use crate::{filter::EventFilter, handle::History, visibility::Viewer};
use rooms_store::{
    Event, RoomError,
    state_map::EventNumber,
    tables::{GAPS, TIMELINE},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// The part of a timeline between two gaps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) room: RoomNumber,
    pub(super) direction: Direction,
    pub(super) from: Position,
    pub(super) to: Option<Position>,
}

/// What a walk found.
pub(super) struct Walked {
    pub(super) events: Vec<Arc<Event>>,
    /// Where it stopped, if there may be more behind.
    pub(super) stopped: Option<Position>,
}

/// Rows that one walk looks at.
const MOST_ROWS: usize = 5_000;
/// Rows looked at in one step.
const SHORTEST_STEP: usize = 16;
const LONGEST_STEP: usize = 1_001;

impl History {
    /// The first `limit` events of the range, in its direction.
    pub(super) async fn walk(
        &self,
        db: &Snapshot,
        viewer: &mut Viewer,
        filter: &EventFilter,
        range: Range,
        limit: usize,
    ) -> Result<Walked, RoomError> {
        let mut walked = Walked {
            events: Vec::new(),
            stopped: None,
        };
        let mut range = range;
        let mut looked_at = 0;
        let mut gap = self.next_gap(db, &range).await?;
        loop {
            // One row more than needed shows whether there is more.
            let step = (limit - walked.events.len() + 1).clamp(SHORTEST_STEP, LONGEST_STEP);
            let rows = db.page(range.up_to(gap), step).await?;
            let is_end = rows.len() < step;
            let found = self.look_at(db, viewer, filter, range.room, &rows).await?;
            for (((_, position), _), event) in rows.iter().zip(found) {
                if walked.events.len() == limit {
                    walked.stopped = Some(range.from);
                    return Ok(walked);
                }
                range.from = range.direction.behind(*position);
                walked.events.extend(event);
            }
            looked_at += rows.len();
            if let Some(at) = gap.filter(|_| is_end) {
                range.from = at.previous();
                if looked_at > 0 {
                    walked.stopped = Some(range.from);
                    return Ok(walked);
                }
                gap = self.next_gap(db, &range).await?;
                continue;
            }
            if is_end {
                return Ok(walked);
            }
            if looked_at >= MOST_ROWS || walked.events.len() == limit {
                walked.stopped = Some(range.from);
                return Ok(walked);
            }
        }
    }

    /// The first gap that a walk over the range meets: a page ends there, and its token lies inside the gap.
    async fn next_gap(&self, db: &Snapshot, range: &Range) -> Result<Option<Position>, RoomError> {
        let Range {
            room,
            direction,
            from,
            to,
        } = *range;
        let rows = GAPS.under(room);
        let rows = match direction {
            Direction::Forward => rows.after((room, next(from))),
            Direction::Backward => rows.through((room, from)).reversed(),
        };
        let gap = db.first(rows).await?.map(|((_, at), _)| at);
        Ok(gap.filter(|gap| match direction {
            Direction::Forward => to.is_none_or(|to| *gap <= to),
            Direction::Backward => to.is_none_or(|to| *gap > to),
        }))
    }

    /// Each row's event, if the reader gets it.
    async fn look_at(
        &self,
        db: &Snapshot,
        viewer: &mut Viewer,
        filter: &EventFilter,
        room: RoomNumber,
        rows: &[((RoomNumber, Position), EventNumber)],
    ) -> Result<Vec<Option<Arc<Event>>>, RoomError> {
        let numbers: Vec<EventNumber> = rows.iter().map(|(_, number)| *number).collect();
        let events = self.rooms.named_events(db, room, &numbers).await?;
        let visible = viewer.visible(&self.rooms, db, &events).await?;
        let ignored = self.ignored_by(db, viewer).await?;
        let mut found = Vec::with_capacity(events.len());
        for (event, is_visible) in events.into_iter().zip(visible) {
            let is_wanted = is_visible
                && filter.matches(&event)
                && !ignored.hides(&event)
                && self.is_related(db, filter, &event).await?;
            found.push(is_wanted.then_some(event));
        }
        Ok(found)
    }
}

impl Direction {
    /// The gap behind the event at this position.
    pub(crate) fn behind(self, position: Position) -> Position {
        match self {
            Self::Forward => position,
            Self::Backward => position.previous(),
        }
    }
}

/// The place right behind this one.
fn next(Position(stamp, slot): Position) -> Position {
    match slot.checked_add(1) {
        Some(slot) => Position(stamp, slot),
        None => Position(stamp.next(), 0),
    }
}

impl Range {
    /// The rows of the range on this side of a gap.
    fn up_to(&self, gap: Option<Position>) -> Rows<(RoomNumber, Position), EventNumber> {
        let rows = self.rows();
        match (self.direction, gap) {
            (_, None) => rows,
            (Direction::Forward, Some(gap)) => rows.before((self.room, gap)),
            (Direction::Backward, Some(gap)) => rows.after((self.room, gap.previous())),
        }
    }

    fn rows(&self) -> Rows<(RoomNumber, Position), EventNumber> {
        let Self {
            room,
            direction,
            from,
            to,
        } = *self;
        let rows = TIMELINE.under(room);
        match (direction, to) {
            (Direction::Forward, None) => rows.after((room, from)),
            (Direction::Forward, Some(to)) => rows.after((room, from)).through((room, to)),
            (Direction::Backward, None) => rows.through((room, from)).reversed(),
            (Direction::Backward, Some(to)) => {
                rows.through((room, from)).after((room, to)).reversed()
            }
        }
    }
}
