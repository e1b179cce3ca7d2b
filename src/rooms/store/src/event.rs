//! An event in memory: what was signed, where it stands, and how clients see it.
//!
//! The JSON that was signed is kept as it is. What a client gets is spliced from ranges of it; nothing is parsed and
//! written again. `unsigned` differs per reader and is given by who asks (`client_json`).

use std::sync::Arc;

use database::{Placed, Position, RoomNumber, UserNumber};
use protocol::scan::{self, Parts};
use ruma::{OwnedEventId, OwnedUserId};

use crate::{
    state_map::{EventNumber, StateRoot},
    tables::{Membership, Place, Placement, StoredEvent, Thread, Transaction, Verdict},
};

/// One event of one room, shared by everyone who reads it.
#[derive(Debug)]
pub struct Event {
    pub number: EventNumber,
    pub room: RoomNumber,
    pub id: OwnedEventId,
    pub sender: OwnedUserId,
    pub sender_number: UserNumber,
    /// The event type, such as `m.room.message`.
    pub kind: Box<str>,
    pub state_key: Option<Box<str>>,
    /// Unix milliseconds, as the sender's server says.
    pub origin_server_ts: u64,
    pub depth: u64,
    pub position: Position,
    pub verdict: Verdict,
    pub place: Place,
    pub replaces: Option<EventNumber>,
    pub redacted_because: Option<EventNumber>,
    pub thread: Option<Thread>,
    pub transaction: Option<Transaction>,
    /// The event that this one redacts, wherever the room version puts it.
    pub redacts: Option<OwnedEventId>,
    /// The membership, if this is an `m.room.member` with a valid one.
    pub membership: Option<Membership>,
    parts: Parts,
    json: Box<str>,
}

/// The type of events that only merge branches of a room's graph: never shown, counted or pushed.
pub const DUMMY: &str = "org.matrix.dummy_event";

/// Stored bytes that are not an event: the database is damaged.
#[derive(Debug, thiserror::Error)]
#[error("stored event is not readable")]
pub struct Unreadable;

impl Event {
    /// Reads a stored row.
    pub fn from_row(
        room: RoomNumber,
        number: EventNumber,
        row: Placed<StoredEvent>,
    ) -> Result<Arc<Self>, Unreadable> {
        Self::from_stored(room, number, row.position, row.value)
    }

    /// The same, for who has just written the row.
    pub fn from_stored(
        room: RoomNumber,
        number: EventNumber,
        position: Position,
        stored: StoredEvent,
    ) -> Result<Arc<Self>, Unreadable> {
        let json = stored.json.into_boxed_str();
        let parts = scan::scan(&json).map_err(|_| Unreadable)?;
        let kind = parts.kind(&json);
        let content = parts.content(&json);
        let membership = (&*kind == "m.room.member")
            .then(|| scan::string_member(content, "membership"))
            .flatten()
            .and_then(|word| Membership::parse(&word));
        let redacts = (&*kind == "m.room.redaction")
            .then(|| {
                parts
                    .redacts(&json)
                    .or_else(|| scan::string_member(content, "redacts"))
            })
            .flatten();
        Ok(Arc::new(Self {
            number,
            room,
            id: OwnedEventId::try_from(stored.event_id).map_err(|_| Unreadable)?,
            sender: OwnedUserId::try_from(&*parts.sender(&json)).map_err(|_| Unreadable)?,
            sender_number: stored.sender,
            kind: kind.into(),
            state_key: parts.state_key(&json).map(Into::into),
            origin_server_ts: parts
                .origin_server_ts(&json)
                .ok_or(Unreadable)?
                .get()
                .into(),
            depth: parts.depth(&json).ok_or(Unreadable)?,
            position,
            verdict: stored.verdict,
            place: stored.place,
            replaces: stored.replaces,
            redacted_because: stored.redacted_because,
            thread: stored.thread,
            transaction: stored.transaction,
            redacts: redacts.and_then(|id| OwnedEventId::try_from(&*id).ok()),
            membership,
            parts,
            json,
        }))
    }

    /// The JSON that was signed (and, if it was redacted, what redaction left of it).
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The JSON object `content`.
    pub fn content(&self) -> &str {
        self.parts.content(&self.json)
    }

    /// Where the top-level members of [`Event::json`] are.
    pub fn parts(&self) -> Parts {
        self.parts
    }

    /// Whether this is a state event.
    pub fn is_state(&self) -> bool {
        self.state_key.is_some()
    }

    /// Whether this event belongs to the room's timeline as clients see it: accepted, placed, and more than a link between
    /// branches of the graph.
    pub fn is_shown(&self) -> bool {
        self.verdict == Verdict::Accepted && self.place != Place::Outlier && &*self.kind != DUMMY
    }

    /// Whether it has a place in the graph.
    pub fn is_placed(&self) -> bool {
        self.place != Place::Outlier
    }

    /// Whether an authorization rule forbids it.
    pub fn is_rejected(&self) -> bool {
        matches!(self.verdict, Verdict::Rejected(_))
    }

    /// The states around it; `None` for an outlier and for a backfilled event.
    pub fn placement(&self) -> Option<&Placement> {
        self.place.placement()
    }

    /// The state before it, if it is known.
    pub fn state_before(&self) -> Option<StateRoot> {
        self.placement().map(|placement| placement.state_before)
    }

    /// How many had joined the room before this event; 0 where that is not known.
    pub fn joined_before(&self) -> u64 {
        self.placement()
            .map_or(0, |placement| placement.joined_before)
    }

    /// Bytes that this value takes in memory.
    pub fn weight(&self) -> usize {
        let thread = self.thread.as_ref().map_or(0, |thread| thread.root.len());
        size_of::<Self>() + self.json.len() + self.kind.len() + thread + 128
    }
}
