//! Bundled aggregations: what `unsigned["m.relations"]` says of an event to one reader.
//!
//! An event without children costs one point look-up. Children are read from the index, newest first, until the reader may see
//! one. Counts come from the index too, less those of ignored users; only where the reader may not see all of a thread, its
//! events are looked at, up to a bound.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use database::{Placed, Position, Read, RoomNumber, Snapshot, UserNumber};
use protocol::scan;
use rooms_store::{
    Event, Membership, RoomError,
    relations::{
        EDITS, REFERENCE, RELATION_COUNTS, RELATION_SENDERS, RELATIONS, REPLACEMENT, RelatesTo,
        Relation, RelationCounts, THREAD, has_child_by,
    },
    state_map::EventNumber,
    tables::{MEMBERS, Member},
};
use ruma::OwnedEventId;

use super::Ignored;
use crate::{
    handle::History,
    visibility::{HistoryVisibility, Viewer},
};

/// The aggregations of one event.
#[derive(Debug, Default)]
pub(crate) struct Bundle {
    pub(crate) thread: Option<ThreadBundle>,
    pub(crate) replacement: Option<Arc<Event>>,
    /// Oldest first.
    pub(crate) references: Vec<OwnedEventId>,
}

#[derive(Debug)]
pub(crate) struct ThreadBundle {
    pub(crate) latest: Arc<Event>,
    /// Without a thread: an event in a thread has none of its own.
    pub(crate) bundle_of_latest: Option<Box<Bundle>>,
    pub(crate) count: u64,
    pub(crate) participated: bool,
}

/// Replacements looked at for a valid one.
const MOST_REPLACEMENTS: usize = 16;
/// References in one bundle.
const MOST_REFERENCES: usize = 100;
/// Children looked at for one the reader may see, or to count those.
const MOST_CHILDREN: usize = 1_000;
/// Children looked at in one step.
const STEP: usize = 32;

/// What was looked up for one answer.
struct Reading<'a> {
    history: &'a History,
    db: &'a Snapshot,
    room: RoomNumber,
    ignored: Ignored,
    /// `None` until a thread asks.
    ignored_numbers: Option<HashSet<UserNumber>>,
    /// `None` until a thread asks.
    reach: Option<Reach>,
}

/// Where the part of the timeline begins of which the reader may see everything, if there is one.
#[derive(Clone, Copy)]
struct Reach(Option<Position>);

impl History {
    /// The bundles of those events that have any. State events get none.
    pub(crate) async fn bundles(
        &self,
        db: &Snapshot,
        viewer: &mut Viewer,
        events: &[Arc<Event>],
    ) -> Result<HashMap<EventNumber, Bundle>, RoomError> {
        let mut bundles = HashMap::new();
        let room = viewer.room();
        let parents: Vec<_> = events.iter().filter(|event| !event.is_state()).collect();
        if parents.is_empty() {
            return Ok(bundles);
        }
        let rows = parents
            .iter()
            .map(|event| RELATION_COUNTS.at((room, event.id.as_str())))
            .collect();
        let counts = db.get_many(rows).await?;
        let mut reading: Option<Reading<'_>> = None;
        for (event, counts) in parents.into_iter().zip(counts) {
            let Some(counts) = counts.filter(RelationCounts::has_aggregations) else {
                continue;
            };
            let reading = match &mut reading {
                Some(reading) => reading,
                none => none.insert(Reading {
                    history: self,
                    db,
                    room,
                    ignored: self.ignored_by(db, viewer).await?,
                    ignored_numbers: None,
                    reach: None,
                }),
            };
            let mut bundle = reading.simple(viewer, event, counts).await?;
            if counts.threads > 0 {
                bundle.thread = reading.thread(viewer, event, counts).await?;
            }
            if !bundle.is_empty() {
                bundles.insert(event.number, bundle);
            }
        }
        Ok(bundles)
    }
}

impl Bundle {
    fn is_empty(&self) -> bool {
        self.thread.is_none() && self.replacement.is_none() && self.references.is_empty()
    }
}

impl Reading<'_> {
    /// All but the thread.
    async fn simple(
        &self,
        viewer: &mut Viewer,
        event: &Event,
        counts: RelationCounts,
    ) -> Result<Bundle, RoomError> {
        let mut bundle = Bundle::default();
        if counts.replacements > 0 {
            bundle.replacement = self.replacement(viewer, event).await?;
        }
        if counts.references > 0 {
            bundle.references = self.references(viewer, event).await?;
        }
        Ok(bundle)
    }

    /// The newest valid replacement ("Validity of replacement events").
    async fn replacement(
        &self,
        viewer: &mut Viewer,
        event: &Event,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let is_replacement =
            RelatesTo::of(event.content()).is_some_and(|relation| relation.kind == REPLACEMENT);
        if event.redacted_because.is_some() || is_replacement || self.ignored.is_by(event) {
            return Ok(None);
        }
        let rows = EDITS.under((self.room, event.id.as_str(), event.sender_number));
        let rows = self.db.page(rows.reversed(), MOST_REPLACEMENTS).await?;
        let rooms = &self.history.rooms;
        for (_, number) in rows {
            let edit = rooms.named_event(self.db, self.room, number).await?;
            let is_valid = edit.kind == event.kind
                && !edit.is_state()
                && edit.redacted_because.is_none()
                && (&*edit.kind == "m.room.encrypted"
                    || scan::member(edit.content(), "m.new_content").is_some());
            if is_valid && self.sees(viewer, &edit).await? {
                return Ok(Some(edit));
            }
        }
        Ok(None)
    }

    async fn references(
        &self,
        viewer: &mut Viewer,
        event: &Event,
    ) -> Result<Vec<OwnedEventId>, RoomError> {
        let rows = RELATIONS.under((self.room, event.id.as_str(), REFERENCE));
        let rows = self.db.page(rows, MOST_REFERENCES).await?;
        let numbers: Vec<_> = rows.iter().map(|(_, relation)| relation.event).collect();
        let rooms = &self.history.rooms;
        let events = rooms.named_events(self.db, self.room, &numbers).await?;
        let visible = viewer.visible(rooms, self.db, &events).await?;
        let seen = events.into_iter().zip(visible);
        Ok(seen
            .filter(|(event, is_visible)| *is_visible && !self.ignored.is_by(event))
            .map(|(event, _)| event.id.clone())
            .collect())
    }

    async fn sees(&self, viewer: &mut Viewer, event: &Arc<Event>) -> Result<bool, RoomError> {
        let event = std::slice::from_ref(event);
        let visible = viewer.visible(&self.history.rooms, self.db, event).await?;
        Ok(visible == [true])
    }

    /// The thread of a root; `None` where the reader may see none of its events.
    async fn thread(
        &mut self,
        viewer: &mut Viewer,
        root: &Event,
        counts: RelationCounts,
    ) -> Result<Option<ThreadBundle>, RoomError> {
        if self.ignored_numbers.is_none() {
            let numbers = self.history.ignored_numbers(self.db, &self.ignored);
            self.ignored_numbers = Some(numbers.await?);
        }
        let Some(latest) = self.latest(viewer, root).await? else {
            return Ok(None);
        };
        let row = RELATION_COUNTS.at((self.room, latest.id.as_str()));
        let of_latest = self.db.get(row).await?;
        let bundle_of_latest = match of_latest.filter(RelationCounts::has_aggregations) {
            Some(counts) => Some(Box::new(self.simple(viewer, &latest, counts).await?)),
            None => None,
        };
        let id = root.id.as_str();
        let reader = viewer.user();
        let participated = root.sender_number == reader
            || has_child_by(self.db, self.room, id, THREAD, reader).await?;
        Ok(Some(ThreadBundle {
            count: self.count(viewer, root, counts.threads).await?,
            latest,
            bundle_of_latest: bundle_of_latest.filter(|bundle| !bundle.is_empty()),
            participated,
        }))
    }

    /// The newest event of a thread that the reader gets.
    async fn latest(
        &self,
        viewer: &mut Viewer,
        root: &Event,
    ) -> Result<Option<Arc<Event>>, RoomError> {
        let mut found = None;
        self.walk(viewer, root, &mut |event| {
            found = Some(event);
            false
        })
        .await?;
        Ok(found)
    }

    /// How many events of a thread the reader gets. Backfilled events and those of other branches count by their place in the
    /// timeline.
    async fn count(
        &mut self,
        viewer: &mut Viewer,
        root: &Event,
        all: u64,
    ) -> Result<u64, RoomError> {
        let id = root.id.as_str();
        let rows = RELATIONS.under((self.room, id, THREAD));
        let first = self.db.first(rows).await?.map(|((_, _, _, at), _)| at);
        let Reach(from) = self.reach(viewer).await?;
        if first.zip(from).is_some_and(|(first, from)| from < first) {
            let ignored = self.ignored_numbers.iter().flatten();
            let rows: Vec<_> = ignored
                .map(|user| RELATION_SENDERS.at((self.room, id, THREAD, *user)))
                .collect();
            let hidden = if rows.is_empty() {
                Vec::new()
            } else {
                self.db.get_many(rows).await?
            };
            let hidden: u64 = hidden.into_iter().flatten().sum();
            return Ok(all.saturating_sub(hidden));
        }
        let mut count = 0;
        self.walk(viewer, root, &mut |_| {
            count += 1;
            true
        })
        .await?;
        Ok(count)
    }

    /// Gives the events of a thread that the reader gets to `each`, newest first, until it wants no more.
    async fn walk(
        &self,
        viewer: &mut Viewer,
        root: &Event,
        each: &mut (dyn FnMut(Arc<Event>) -> bool + Send),
    ) -> Result<(), RoomError> {
        let (room, id) = (self.room, root.id.as_str());
        let mut rows = RELATIONS.under((room, id, THREAD)).reversed();
        let mut step = 1;
        let mut looked_at = 0;
        while looked_at < MOST_CHILDREN {
            let page: Vec<((_, _, _, Position), Relation)> =
                self.db.page(rows.clone(), step).await?;
            let Some(((_, _, _, last), _)) = page.last() else {
                return Ok(());
            };
            rows = rows.before((room, id, THREAD, *last));
            looked_at += page.len();
            step = STEP;
            let numbers: Vec<_> = page
                .iter()
                .filter(|(_, relation)| !self.is_ignored(relation.sender))
                .map(|(_, relation)| relation.event)
                .collect();
            let rooms = &self.history.rooms;
            let events = rooms.named_events(self.db, room, &numbers).await?;
            let visible = viewer.visible(rooms, self.db, &events).await?;
            for (event, is_visible) in events.into_iter().zip(visible) {
                if is_visible && !each(event) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn is_ignored(&self, user: UserNumber) -> bool {
        let numbers = self.ignored_numbers.as_ref();
        numbers.is_some_and(|numbers| numbers.contains(&user))
    }

    /// The place from which on the reader sees everything: their join, or the event that made the room's present history visible
    /// to whoever is in it.
    async fn reach(&mut self, viewer: &Viewer) -> Result<Reach, RoomError> {
        if let Some(known) = self.reach {
            return Ok(known);
        }
        let rooms = &self.history.rooms;
        let root = rooms.head(self.db, self.room).await?.state;
        let kind = HistoryVisibility::KIND;
        let event = rooms
            .state_event(self.db, self.room, root, kind, "")
            .await?;
        let (visibility, since) = match event {
            Some(event) => (HistoryVisibility::of(&event), event.position),
            None => (HistoryVisibility::Shared, Position::MIN),
        };
        let row: Option<Placed<Member>> =
            self.db.get(MEMBERS.at((self.room, viewer.user()))).await?;
        let joined = row
            .filter(|row| row.value.membership == Membership::Join)
            .map(|row| row.position);
        let from = match (visibility, joined) {
            (HistoryVisibility::WorldReadable, None) => Some(since),
            (HistoryVisibility::WorldReadable | HistoryVisibility::Shared, Some(joined)) => {
                Some(since.min(joined))
            }
            (_, joined) => joined,
        };
        self.reach = Some(Reach(from));
        Ok(Reach(from))
    }
}
