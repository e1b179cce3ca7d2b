//! The children of an event (client-server API, `GET /rooms/{roomId}/relations/{eventId}`), directly or through other children.

use std::{collections::HashSet, sync::Arc};

use database::{Position, Read, RoomNumber, Rows, Snapshot};
use rooms_store::{
    Event, RoomError,
    relations::{self, RELATION_COUNTS, RELATIONS, Relation},
    state_map::EventNumber,
};
use ruma::{EventId, RoomId};

use super::Ignored;
use crate::{
    handle::History,
    timeline::{Direction, Reader},
    token::{AnyToken, PaginationToken},
    visibility::Viewer,
};

/// What a client asks of `/relations`.
#[derive(Clone, Debug)]
pub struct RelationsRequest {
    pub from: Option<AnyToken>,
    pub to: Option<AnyToken>,
    pub direction: Direction,
    pub limit: usize,
    /// Only children of this relation type.
    pub relation: Option<String>,
    /// Only children of this event type.
    pub kind: Option<String>,
    /// Whether children of children are wanted too.
    pub recurse: bool,
}

/// The answer; `chunk` is the elements of a JSON list.
#[derive(Clone, Debug)]
pub struct RelationsPage {
    pub chunk: Vec<u8>,
    /// Where to go on; `None` at the end.
    pub next: Option<PaginationToken>,
    /// How deep the children were followed.
    pub depth: Option<u32>,
}

/// Events of one page.
const MOST_EVENTS: usize = 1_000;
/// Rows of the index that one request looks at.
const MOST_ROWS: usize = 5_000;
/// Relation types of one event that are listed.
const MOST_KINDS: usize = 64;
/// How deep children of children are followed.
const DEPTH: u32 = 3;

type Key = (RoomNumber, String, String, Position);

/// A child and its place.
struct Child {
    at: Position,
    event: EventNumber,
}

/// The part of the timeline that is asked for.
#[derive(Clone, Copy)]
struct Part {
    direction: Direction,
    from: Option<Position>,
    to: Option<Position>,
}

/// One page, as far as it is read.
struct Paging<'a> {
    history: &'a History,
    db: &'a Snapshot,
    room: RoomNumber,
    ignored: Ignored,
    limit: usize,
    found: Vec<Arc<Event>>,
    /// Where the page ends, if there may be more.
    stopped: Option<Position>,
}

impl History {
    pub async fn relations(
        &self,
        room_id: &RoomId,
        reader: &Reader,
        parent: &EventId,
        request: &RelationsRequest,
    ) -> Result<RelationsPage, RoomError> {
        let db = self.rooms.snapshot().await?;
        let room = self.rooms.number(&db, room_id).await?;
        let room = room.ok_or(RoomError::UnknownEvent)?;
        let mut viewer = self.viewer(&db, room, reader.user).await?;
        let parent = self.seen_event(&db, room, &mut viewer, parent).await?;
        let position = |token: AnyToken| token.pagination().position;
        let part = Part {
            direction: request.direction,
            from: request.from.map(position),
            to: request.to.map(position),
        };
        let mut paging = Paging {
            history: self,
            db: &db,
            room,
            ignored: self.ignored_by(&db, &viewer).await?,
            limit: request.limit.clamp(1, MOST_EVENTS),
            found: Vec::new(),
            stopped: None,
        };
        if request.recurse {
            let children = paging.descendants(&parent, request).await?;
            paging.choose(&mut viewer, part, children).await?;
        } else {
            paging.children(&mut viewer, &parent, part, request).await?;
        }
        let Paging { found, stopped, .. } = paging;
        let mut page = RelationsPage {
            chunk: Vec::new(),
            next: stopped.map(|at| PaginationToken::after(at, db.stamp())),
            depth: request.recurse.then_some(DEPTH),
        };
        let (out, device) = (&mut page.chunk, Some(&*reader.device));
        self.write_events(out, &db, &mut viewer, device, &found, Some(room_id))
            .await?;
        Ok(page)
    }
}

impl Paging<'_> {
    /// Reads the direct children: those of each relation type in their order, merged.
    async fn children(
        &mut self,
        viewer: &mut Viewer,
        parent: &Event,
        part: Part,
        request: &RelationsRequest,
    ) -> Result<(), RoomError> {
        let (room, id) = (self.room, parent.id.as_str());
        let kinds = match &request.relation {
            Some(kind) => vec![kind.clone()],
            None => relations::kinds(self.db, room, id, MOST_KINDS).await?,
        };
        let mut part = part;
        let mut looked_at = 0;
        loop {
            // One row more than needed shows whether there is more.
            let step = self.limit - self.found.len() + 1;
            let mut rows = Vec::new();
            for kind in &kinds {
                let page = self.db.page(part.rows(room, id, kind), step).await?;
                rows.extend(page.into_iter().map(|((_, _, _, at), row)| (at, row)));
            }
            looked_at += rows.len();
            rows.sort_unstable_by_key(|(at, _)| *at);
            if part.direction == Direction::Backward {
                rows.reverse();
            }
            let is_end = rows.len() < step;
            rows.truncate(step);
            let Some((last, _)) = rows.last() else {
                return Ok(());
            };
            let rest = Part {
                from: Some(part.direction.behind(*last)),
                ..part
            };
            let wanted = rows.into_iter().filter(|(_, row)| request.wants(row));
            let children = wanted.map(child).collect();
            self.take(viewer, part, children).await?;
            if self.stopped.is_some() || is_end {
                return Ok(());
            }
            if looked_at >= MOST_ROWS {
                self.stopped = rest.from;
                return Ok(());
            }
            part = rest;
        }
    }

    /// Takes children that the reader gets, in their order, until the page is full.
    async fn take(
        &mut self,
        viewer: &mut Viewer,
        part: Part,
        children: Vec<Child>,
    ) -> Result<(), RoomError> {
        let numbers: Vec<_> = children.iter().map(|child| child.event).collect();
        let rooms = &self.history.rooms;
        let events = rooms.named_events(self.db, self.room, &numbers).await?;
        let visible = viewer.visible(rooms, self.db, &events).await?;
        for (event, is_visible) in events.into_iter().zip(visible) {
            if !is_visible || self.ignored.hides(&event) {
                continue;
            }
            if self.found.len() == self.limit {
                let last = self.found.last().map(|event| event.position);
                self.stopped = last.map(|at| part.direction.behind(at));
                return Ok(());
            }
            self.found.push(event);
        }
        Ok(())
    }

    /// The newest children, their children, and so on: a bounded number, in no order.
    async fn descendants(
        &self,
        parent: &Event,
        request: &RelationsRequest,
    ) -> Result<Vec<Child>, RoomError> {
        let mut children = Vec::new();
        let mut known = HashSet::from([parent.number]);
        let mut parents = vec![parent.id.to_string()];
        let mut left = MOST_ROWS;
        for _ in 0..DEPTH {
            let mut level = Vec::new();
            for id in &parents {
                let rows = RELATIONS.under((self.room, id.as_str())).reversed();
                let page: Vec<(Key, Relation)> = self.db.page(rows, left).await?;
                left -= page.len();
                for ((_, _, kind, at), row) in page {
                    if !known.insert(row.event) {
                        continue;
                    }
                    level.push(row.event);
                    let is_wanted = request.relation.as_ref().is_none_or(|k| *k == kind);
                    if is_wanted && request.wants(&row) {
                        children.push(child((at, row)));
                    }
                }
                if left == 0 {
                    return Ok(children);
                }
            }
            parents = self.with_children(&level).await?;
        }
        Ok(children)
    }

    /// The ids of those events that have children.
    async fn with_children(&self, events: &[EventNumber]) -> Result<Vec<String>, RoomError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let rooms = &self.history.rooms;
        let events = rooms.named_events(self.db, self.room, events).await?;
        let rows = events
            .iter()
            .map(|event| RELATION_COUNTS.at((self.room, event.id.as_str())))
            .collect();
        let counts = self.db.get_many(rows).await?;
        let parents = events.into_iter().zip(counts);
        Ok(parents
            .filter(|(_, counts)| counts.is_some())
            .map(|(event, _)| event.id.to_string())
            .collect())
    }

    /// Takes the first of these children that lie in the part.
    async fn choose(
        &mut self,
        viewer: &mut Viewer,
        part: Part,
        children: Vec<Child>,
    ) -> Result<(), RoomError> {
        let mut children: Vec<_> = children
            .into_iter()
            .filter(|child| part.holds(child.at))
            .collect();
        children.sort_unstable_by_key(|child| child.at);
        if part.direction == Direction::Backward {
            children.reverse();
        }
        let mut children = children.into_iter().peekable();
        while children.peek().is_some() && self.stopped.is_none() {
            let step = self.limit - self.found.len() + 1;
            let some = children.by_ref().take(step).collect();
            self.take(viewer, part, some).await?;
        }
        Ok(())
    }
}

fn child((at, row): (Position, Relation)) -> Child {
    Child {
        at,
        event: row.event,
    }
}

impl RelationsRequest {
    fn wants(&self, row: &Relation) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == row.kind)
    }
}

impl Part {
    fn holds(self, at: Position) -> bool {
        match self.direction {
            Direction::Forward => {
                self.from.is_none_or(|from| at > from) && self.to.is_none_or(|to| at <= to)
            }
            Direction::Backward => {
                self.from.is_none_or(|from| at <= from) && self.to.is_none_or(|to| at > to)
            }
        }
    }

    fn rows(self, room: RoomNumber, parent: &str, kind: &str) -> Rows<Key, Relation> {
        let (after, through) = match self.direction {
            Direction::Forward => (self.from, self.to),
            Direction::Backward => (self.to, self.from),
        };
        let mut rows = RELATIONS.under((room, parent, kind));
        if let Some(after) = after {
            rows = rows.after((room, parent, kind, after));
        }
        if let Some(through) = through {
            rows = rows.through((room, parent, kind, through));
        }
        match self.direction {
            Direction::Forward => rows,
            Direction::Backward => rows.reversed(),
        }
    }
}
