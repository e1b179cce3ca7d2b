//! A client's filter, ready to be matched (client-server API, "Filtering").

use std::{
    collections::HashSet,
    sync::{Arc, LazyLock},
};

use rooms_history::EventFilter;
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, UInt, UserId,
    api::client::filter::{
        EventFormat, Filter as EventsFilter, FilterDefinition, LazyLoadOptions, RoomEventFilter,
    },
};

use crate::fields::Fields;

/// Timeline events of a room, where the filter does not say how many.
const USUAL_LIMIT: usize = 10;
/// Timeline events of a room at most.
const GREATEST_LIMIT: usize = 100;

/// The default lets everything through.
#[derive(Clone, Debug)]
pub struct Filter {
    pub(crate) timeline: EventFilter,
    /// Timeline events of a room at most.
    pub(crate) timeline_limit: usize,
    pub(crate) state: EventFilter,
    pub(crate) lazy_members: LazyMembers,
    pub(crate) ephemeral: Selection,
    pub(crate) room_account_data: Selection,
    pub(crate) account_data: Selection,
    pub(crate) presence: Selection,
    pub(crate) include_leave: bool,
    pub(crate) thread_counts: bool,
    pub(crate) format: Format,
    /// `None` where events are told whole.
    pub(crate) fields: Option<Fields>,
    rooms: Rooms,
}

/// Which member events are told with a room's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LazyMembers {
    /// All.
    No,
    /// Those of the senders in the timeline. Nothing is remembered of what a client was told before, so also those that
    /// it has already: the spec lets a server send them again.
    Yes,
}

/// Whether events are told as clients see them, or as servers send them to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Client,
    Federation,
}

/// A filter for what is not an event of a room.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    events: EventFilter,
    senders: Option<HashSet<OwnedUserId>>,
    not_senders: HashSet<OwnedUserId>,
    limit: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct Rooms {
    only: Option<HashSet<OwnedRoomId>>,
    not: HashSet<OwnedRoomId>,
}

impl Default for Filter {
    fn default() -> Self {
        Self::from(&FilterDefinition::default())
    }
}

impl From<&FilterDefinition> for Filter {
    fn from(filter: &FilterDefinition) -> Self {
        let room = &filter.room;
        let limit = room.timeline.limit.map_or(USUAL_LIMIT, count);
        let is_lazy = |options| matches!(options, LazyLoadOptions::Enabled { .. });
        let lazy =
            is_lazy(room.state.lazy_load_options) || is_lazy(room.timeline.lazy_load_options);
        Self {
            timeline: EventFilter::from(&room.timeline),
            timeline_limit: limit.min(GREATEST_LIMIT),
            state: EventFilter::from(&room.state),
            lazy_members: if lazy {
                LazyMembers::Yes
            } else {
                LazyMembers::No
            },
            ephemeral: Selection::from(&room.ephemeral),
            room_account_data: Selection::from(&room.account_data),
            account_data: Selection::from(&filter.account_data),
            presence: Selection::from(&filter.presence),
            include_leave: room.include_leave,
            thread_counts: room.timeline.unread_thread_notifications,
            format: match filter.event_format {
                EventFormat::Federation => Format::Federation,
                _ => Format::Client,
            },
            fields: filter.event_fields.as_deref().map(Fields::new),
            rooms: Rooms {
                only: room
                    .rooms
                    .as_ref()
                    .map(|rooms| rooms.iter().cloned().collect()),
                not: room.not_rooms.iter().cloned().collect(),
            },
        }
    }
}

impl Filter {
    /// The filter of who gave none.
    pub fn everything() -> Arc<Self> {
        static EVERYTHING: LazyLock<Arc<Filter>> = LazyLock::new(Arc::default);
        EVERYTHING.clone()
    }

    /// Whether anything of the room may be told.
    pub(crate) fn allows_room(&self, room_id: &RoomId) -> bool {
        !self.rooms.not.contains(room_id)
            && self
                .rooms
                .only
                .as_ref()
                .is_none_or(|rooms| rooms.contains(room_id))
    }
}

impl From<&EventsFilter> for Selection {
    fn from(filter: &EventsFilter) -> Self {
        let mut same = RoomEventFilter::default();
        same.types.clone_from(&filter.types);
        same.not_types.clone_from(&filter.not_types);
        same.senders.clone_from(&filter.senders);
        same.not_senders.clone_from(&filter.not_senders);
        same.limit = filter.limit;
        Self::from(&same)
    }
}

impl From<&RoomEventFilter> for Selection {
    fn from(filter: &RoomEventFilter) -> Self {
        Self {
            events: EventFilter::from(filter),
            senders: filter
                .senders
                .as_ref()
                .map(|senders| senders.iter().cloned().collect()),
            not_senders: filter.not_senders.iter().cloned().collect(),
            limit: filter.limit.map(count),
        }
    }
}

impl Selection {
    pub(crate) fn allows_room(&self, room_id: &RoomId) -> bool {
        self.events.allows_room(room_id)
    }

    pub(crate) fn allows_type(&self, kind: &str) -> bool {
        self.limit != Some(0) && self.events.matches_type(kind)
    }

    pub(crate) fn allows_sender(&self, sender: &UserId) -> bool {
        !self.not_senders.contains(sender)
            && self
                .senders
                .as_ref()
                .is_none_or(|senders| senders.contains(sender))
    }

    /// How many may be told.
    pub(crate) fn limit(&self) -> usize {
        self.limit.unwrap_or(usize::MAX)
    }
}

fn count(limit: UInt) -> usize {
    usize::try_from(u64::from(limit)).unwrap_or(usize::MAX)
}
