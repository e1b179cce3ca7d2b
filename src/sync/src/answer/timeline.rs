//! The timeline of a room: its newest events between the token and now, or between the token and the user's leave.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use database::{Position, Read, RoomNumber, Stamp};
use rooms_history::{PaginationToken, Viewer};
use rooms_store::{
    Event,
    state_map::{EventNumber, StateRoot},
    tables::{GAPS, LogEntry, ROOM_LOG},
};

use super::Context;
use crate::{filter::Format, json::Json, own_rooms::OwnRoom, recent::Recent, request::SyncError};

/// The part of a room's log of which the newest events are told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// Only what came after this.
    pub(super) after: Stamp,
    /// Only up to here.
    pub(super) through: Position,
}

/// The events to tell, oldest first.
pub(super) struct Timeline {
    pub(super) events: Vec<Arc<Event>>,
    /// Not everything in the window was told that could have been.
    pub(super) limited: bool,
    pub(super) previous: PaginationToken,
    /// The room's state right before its first event; of an empty timeline, at its end.
    pub(super) start: StateRoot,
}

/// Entries looked at for one room at most: a filter that nothing passes ends here.
const MOST: usize = 2000;
const PAGE: usize = 128;

/// Walks a window backwards, in memory as far as that goes.
struct Backwards<'a> {
    context: &'a Context<'a>,
    room: RoomNumber,
    recent: &'a Recent,
    after: Stamp,
    /// Only what stands before this is left; `None` at the beginning.
    before: Option<Position>,
    through: Position,
    ended: bool,
}

impl<'a> Backwards<'a> {
    fn new(
        context: &'a Context<'a>,
        room: RoomNumber,
        recent: &'a Recent,
        Window { after, through }: Window,
    ) -> Self {
        Self {
            context,
            room,
            recent,
            after,
            before: None,
            through,
            ended: false,
        }
    }

    /// The next entries, newest first; none at the end.
    async fn next(&mut self, limit: usize) -> Result<Vec<(Position, LogEntry)>, SyncError> {
        if self.ended {
            return Ok(Vec::new());
        }
        let held = self.held(limit);
        if !held.is_empty() {
            self.before = held.last().map(|(at, _)| *at);
            return Ok(held);
        }
        if self.recent.after <= self.after {
            self.ended = true;
            return Ok(Vec::new());
        }
        let rows = ROOM_LOG
            .under(self.room)
            .after((self.room, Position::last_of(self.after)))
            .through((self.room, self.through));
        let rows = match self.before {
            Some(before) => rows.before((self.room, before)),
            None => rows,
        };
        let page = self.context.db.page(rows.reversed(), limit).await?;
        self.ended = page.len() < limit;
        let page: Vec<_> = page
            .into_iter()
            .map(|((_, at), event)| (at, event))
            .collect();
        self.before = page.last().map_or(self.before, |(at, _)| Some(*at));
        Ok(page)
    }

    fn held(&self, limit: usize) -> Vec<(Position, LogEntry)> {
        let entries = &self.recent.entries;
        let is_left =
            |at: Position| at <= self.through && self.before.is_none_or(|before| at < before);
        let end = entries.partition_point(|(at, _)| is_left(*at));
        let newest_first = entries[..end].iter().rev();
        newest_first
            .take_while(|(at, _)| at.0 > self.after)
            .take(limit)
            .copied()
            .collect()
    }
}

impl Timeline {
    /// The newest events of the window that the filter wants and the viewer may see. `end` is the state behind the window.
    pub(super) async fn read(
        context: &Context<'_>,
        room: &OwnRoom,
        recent: &Recent,
        viewer: &mut Viewer,
        window: Window,
        end: StateRoot,
    ) -> Result<Self, SyncError> {
        let mut timeline = Self {
            events: Vec::new(),
            limited: false,
            previous: PaginationToken::after(window.through, context.db.stamp()),
            start: end,
        };
        if context.request.filter.timeline.allows_room(&room.id) {
            let gap = newest_gap(context, room.number, window).await?;
            let walk = Backwards::new(context, room.number, recent, window);
            timeline.collect(context, walk, viewer, gap).await?;
            timeline.events.reverse();
            timeline.find_start(context, room, recent).await?;
        }
        Ok(timeline)
    }

    /// Takes events, newest first, until there are enough: at a gap, and at a change of state that no event shows, it ends.
    async fn collect(
        &mut self,
        context: &Context<'_>,
        mut walk: Backwards<'_>,
        viewer: &mut Viewer,
        gap: Option<Position>,
    ) -> Result<(), SyncError> {
        let filter = &context.request.filter;
        let limit = filter.timeline_limit;
        let rooms = &context.parts.rooms;
        let mut looked_at = 0;
        let mut withheld = Withheld::default();
        loop {
            let page = walk
                .next((limit + 1 - self.events.len()).clamp(1, PAGE))
                .await?;
            let Some((oldest, _)) = page.last() else {
                return Ok(());
            };
            let oldest = *oldest;
            looked_at += page.len();
            let shown = page.iter().map_while(|(_, entry)| entry.event);
            let numbers: Vec<EventNumber> = shown.collect();
            let resolution = page.get(numbers.len()).map(|(at, _)| *at);
            let events = rooms.named_events(context.db, walk.room, &numbers).await?;
            let visible = viewer.visible(rooms, context.db, &events).await?;
            for (event, visible) in events.into_iter().zip(visible) {
                if gap.is_some_and(|gap| event.position < gap) {
                    self.limited = true;
                    return Ok(());
                }
                if !visible || !filter.timeline.matches(&event) || is_ignored(context, &event) {
                    withheld.add(&event);
                    continue;
                }
                if self.events.len() == limit || withheld.would_hide_behind(&event) {
                    self.limited = true;
                    return Ok(());
                }
                self.previous = PaginationToken::before(event.position, context.db.stamp());
                self.events.push(event);
            }
            if let Some(at) = resolution {
                self.limited = true;
                self.previous = PaginationToken::after(at, context.db.stamp());
                return Ok(());
            }
            if looked_at >= MOST {
                self.limited = true;
                self.previous = PaginationToken::before(oldest, context.db.stamp());
                return Ok(());
            }
        }
    }

    /// Reads the state before the first event from the log entry in front of it.
    async fn find_start(
        &mut self,
        context: &Context<'_>,
        room: &OwnRoom,
        recent: &Recent,
    ) -> Result<(), SyncError> {
        let Some(first) = self.events.first() else {
            return Ok(());
        };
        let before = first.position.previous();
        let index = recent.entries.partition_point(|(at, _)| *at <= before);
        let held = index.checked_sub(1).and_then(|at| recent.entries.get(at));
        self.start = if let Some((_, entry)) = held {
            entry.state
        } else {
            let rooms = &context.parts.rooms;
            rooms.state_at(context.db, room.number, before).await?
        };
        Ok(())
    }

    /// One event, which is shown whatever the filter's limit. `state` is that of the room behind it.
    pub(super) fn of_one(event: Arc<Event>, stamp: Stamp, state: StateRoot) -> Self {
        let previous = PaginationToken::before(event.position, stamp);
        Self {
            events: vec![event],
            limited: true,
            previous,
            start: state,
        }
    }

    /// The numbers of its events.
    pub(super) fn told(&self) -> HashSet<EventNumber> {
        self.events.iter().map(|event| event.number).collect()
    }

    pub(super) async fn write(
        &self,
        context: &Context<'_>,
        json: &mut Json,
        viewer: &mut Viewer,
    ) -> Result<(), SyncError> {
        json.key("timeline");
        json.open_object();
        json.key("events");
        json.open_array();
        let mark = json.mark();
        let out = json.elements();
        let start = out.len();
        match context.request.filter.format {
            Format::Client => {
                let history = &context.parts.history;
                let device = Some(&*context.request.device);
                let (db, events) = (context.db, &self.events);
                // A client that is told all of a timeline gets the children of its events by themselves.
                if self.limited || context.since.is_none() {
                    history
                        .write_events(out, db, viewer, device, events, None)
                        .await?;
                } else {
                    history
                        .write_events_alone(out, db, viewer, device, events, None)
                        .await?;
                }
            }
            Format::Federation => write_as_sent(out, &self.events),
        }
        if let Some(fields) = &context.request.filter.fields {
            fields.reduce(out, start);
        }
        json.appended(mark);
        json.close_array();
        json.key("limited");
        json.boolean(self.limited);
        json.key("prev_batch");
        json.text(&self.previous.to_string());
        json.close_object();
        Ok(())
    }
}

/// The newest gap inside a window: the timeline starts behind it.
async fn newest_gap(
    context: &Context<'_>,
    room: RoomNumber,
    Window { after, through }: Window,
) -> Result<Option<Position>, SyncError> {
    let rows = GAPS
        .under(room)
        .after((room, Position::last_of(after)))
        .through((room, through))
        .reversed();
    Ok(context.db.first(rows).await?.map(|((_, at), _)| at))
}

/// The state that the walk has come past, newest first. A client takes the last event of a state key that it is told for the
/// state; so where a newer one was kept back (and is told as state), no older one may come in the timeline.
#[derive(Default)]
struct Withheld(HashMap<(Box<str>, Box<str>), IsTold>);

#[derive(Clone, Copy, PartialEq)]
enum IsTold {
    Yes,
    No,
}

impl Withheld {
    fn add(&mut self, event: &Event) {
        self.newest(event, IsTold::No);
    }

    fn would_hide_behind(&mut self, event: &Event) -> bool {
        self.newest(event, IsTold::Yes) == IsTold::No
    }

    /// Whether the newest event of the same state key is told.
    fn newest(&mut self, event: &Event, is_told: IsTold) -> IsTold {
        let Some(state_key) = event.state_key.clone() else {
            return is_told;
        };
        *self
            .0
            .entry((event.kind.clone(), state_key))
            .or_insert(is_told)
    }
}

/// Events as servers send them to each other.
pub(super) fn write_as_sent(out: &mut Vec<u8>, events: &[Arc<Event>]) {
    let start = out.len();
    for event in events {
        rooms_history::client_json::separate(out, start);
        out.extend_from_slice(event.json().as_bytes());
    }
}

/// Messages of those whom the user ignores are not told; what changes the room's state is.
fn is_ignored(context: &Context<'_>, event: &Event) -> bool {
    !event.is_state() && context.ignored.contains(&event.sender)
}
