//! The state section: what a client must know besides the timeline so that it ends with the room's state.
//!
//! `state` is what changed up to the **start** of the timeline; a client then applies the timeline. What the timeline does
//! not show, because the filter held it back or because it came over another branch of the room, is told here too, or
//! the client would never learn it. `state_after` is what changed up to the **end** of the timeline.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use database::UserNumber;
use rooms_store::{
    Event, member_key, member_of,
    state_map::{EventNumber, StateKeyNumber, StateRoot},
};

use super::{
    Context,
    timeline::{Timeline, write_as_sent},
};
use crate::{
    filter::{Format, LazyMembers},
    json::Json,
    own_rooms::OwnRoom,
    request::{StateAfter, SyncError},
};

/// State that clients name a room by.
const NAMES: [&str; 2] = ["m.room.name", "m.room.canonical_alias"];

/// What changed, by state key. Nothing of it is read yet but the map's nodes.
pub(super) struct StateChanges {
    /// The state events to tell.
    events: BTreeMap<StateKeyNumber, EventNumber>,
    /// The root of the state that they belong to: the start of the timeline, or its end.
    root: StateRoot,
    /// Whether a membership changed anywhere between the token and now, or the room's name or alias.
    pub(super) changed_summary: bool,
    /// Whether all of the state is told, and not what changed.
    is_whole: bool,
}

impl StateChanges {
    /// What changed since the state at the token; all, if there is none.
    pub(super) async fn read(
        context: &Context<'_>,
        room: &OwnRoom,
        since: Option<StateRoot>,
        timeline: &Timeline,
        end: StateRoot,
    ) -> Result<Self, SyncError> {
        let start = timeline.start;
        let wants_after = context.request.state_after != StateAfter::No;
        let state = if wants_after { end } else { start };
        let mut changes = Self {
            events: BTreeMap::new(),
            root: state,
            changed_summary: since.is_none(),
            is_whole: since.is_none(),
        };
        match since {
            Some(since) => changes.add_changes(context, room, since, state).await?,
            None => changes.add_all(context, room, state).await?,
        }
        let told = timeline.told();
        if !wants_after {
            changes.add_untold(context, room, start, end, &told).await?;
        }
        let summarizes =
            |event: &Arc<Event>| event.membership.is_some() || NAMES.contains(&&*event.kind);
        if timeline.events.iter().any(summarizes) {
            changes.changed_summary = true;
        }
        if !changes.changed_summary && !changes.events.is_empty() {
            let numbers = context.parts.rooms.numbers();
            for kind in NAMES {
                let key = numbers.find_state_key(context.db, kind, "").await?;
                changes.changed_summary |= key.is_some_and(|key| changes.events.contains_key(&key));
            }
        }
        Ok(changes)
    }

    /// Of a room that the user was not inside: their own member event, which clients that ask for the
    /// state after the timeline take from there alone.
    pub(super) fn of_own_member(context: &Context<'_>, own: &Event, root: StateRoot) -> Self {
        let wants_after = context.request.state_after != StateAfter::No;
        let own = (member_key(context.request.user), own.number);
        Self {
            events: wants_after.then_some(own).into_iter().collect(),
            root,
            changed_summary: false,
            is_whole: false,
        }
    }

    async fn add_all(
        &mut self,
        context: &Context<'_>,
        room: &OwnRoom,
        state: StateRoot,
    ) -> Result<(), SyncError> {
        let states = context.parts.rooms.states();
        let entries = match context.request.filter.lazy_members {
            LazyMembers::No => states.list(context.db, room.number, state).await?,
            LazyMembers::Yes => {
                states
                    .list_class(context.db, room.number, state, StateKeyNumber::OTHER)
                    .await?
            }
        };
        self.events.extend(entries);
        Ok(())
    }

    async fn add_changes(
        &mut self,
        context: &Context<'_>,
        room: &OwnRoom,
        from: StateRoot,
        to: StateRoot,
    ) -> Result<(), SyncError> {
        if from == to {
            return Ok(());
        }
        let states = context.parts.rooms.states();
        for change in states.diff(context.db, room.number, from, to).await? {
            self.changed_summary |= member_of(change.key).is_some();
            if let Some(after) = change.after {
                self.events.insert(change.key, after);
            }
        }
        Ok(())
    }

    /// What changed between the start and the end of the timeline without being told in it.
    async fn add_untold(
        &mut self,
        context: &Context<'_>,
        room: &OwnRoom,
        start: StateRoot,
        end: StateRoot,
        told: &HashSet<EventNumber>,
    ) -> Result<(), SyncError> {
        if start != end {
            let states = context.parts.rooms.states();
            for change in states.diff(context.db, room.number, start, end).await? {
                self.changed_summary |= member_of(change.key).is_some();
                if let Some(after) = change.after.filter(|after| !told.contains(after)) {
                    self.events.insert(change.key, after);
                }
            }
        }
        self.events.retain(|_, event| !told.contains(event));
        Ok(())
    }

    /// Leaves only those members that a client which loads them lazily needs now: who speaks in the timeline, who the room
    /// is named after, oneself, and whose membership changed in a gap.
    pub(super) async fn choose_members(
        &mut self,
        context: &Context<'_>,
        room: &OwnRoom,
        timeline: &Timeline,
        heroes: &[UserNumber],
    ) -> Result<(), SyncError> {
        if context.request.filter.lazy_members == LazyMembers::No {
            return Ok(());
        }
        let mut wanted: HashSet<UserNumber> = heroes.iter().copied().collect();
        wanted.extend(timeline.events.iter().map(|event| event.sender_number));
        if self.is_whole {
            wanted.insert(context.request.user);
        }
        let keys: Vec<StateKeyNumber> = wanted
            .into_iter()
            .map(member_key)
            .filter(|key| !self.events.contains_key(key))
            .collect();
        let states = context.parts.rooms.states();
        let members = states
            .get_many(context.db, room.number, self.root, &keys)
            .await?;
        let told = match context.request.state_after {
            StateAfter::No => timeline.told(),
            StateAfter::Stable | StateAfter::Unstable | StateAfter::Both => HashSet::new(),
        };
        for (key, event) in keys.into_iter().zip(members) {
            if let Some(event) = event.filter(|event| !told.contains(event)) {
                self.events.insert(key, event);
            }
        }
        Ok(())
    }

    /// Writes the section under the name that the client asked for. Whether anything stands in it.
    pub(super) async fn write(
        &self,
        context: &Context<'_>,
        json: &mut Json,
        room: &OwnRoom,
    ) -> Result<bool, SyncError> {
        let filter = &context.request.filter;
        let mut events = Vec::new();
        if filter.state.allows_room(&room.id) {
            let numbers: Vec<EventNumber> = self.events.values().copied().collect();
            events = context
                .parts
                .rooms
                .named_events(context.db, room.number, &numbers)
                .await?;
            events.retain(|event| filter.state.matches(event));
            events.sort_unstable_by_key(|event| event.position);
        }
        let names: &[&str] = match context.request.state_after {
            StateAfter::No => &["state"],
            StateAfter::Stable => &["state_after"],
            StateAfter::Unstable => &["org.matrix.msc4222.state_after"],
            StateAfter::Both => &["state_after", "org.matrix.msc4222.state_after"],
        };
        for name in names {
            json.key(name);
            json.open_object();
            json.key("events");
            json.open_array();
            let mark = json.mark();
            let out = json.elements();
            let start = out.len();
            match filter.format {
                Format::Client => {
                    context
                        .parts
                        .history
                        .write_state(out, context.db, &events, None)
                        .await?;
                }
                Format::Federation => write_as_sent(out, &events),
            }
            if let Some(fields) = &filter.fields {
                fields.reduce(out, start);
            }
            json.appended(mark);
            json.close_array();
            json.close_object();
        }
        Ok(!events.is_empty())
    }
}
