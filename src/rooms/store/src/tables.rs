//! Every table of a room, each row with who writes and who reads it.
//!
//! Keys begin with the room's number wherever a row belongs to one room, so that purging a room is one range
//! deletion a table. Positions and stamps are explained in `database`.

use database::{Millis, Placed, Position, Record, RoomNumber, Table, TableInfo, UserNumber};
use serde::{Deserialize, Serialize};

use crate::{
    relations::{
        EDITS, RELATION_COUNTS, RELATION_SENDERS, RELATIONS, THREAD_COUNTS, THREAD_ORDER, THREADS,
    },
    state_map::{EventNumber, StateKeyNumber, StateRoot},
};

/// The number of a room by its id. Written when a room is created; read by everyone who is given a room id.
pub static ROOM_NUMBERS: Table<String, RoomNumber> = Table::new("room_numbers");
/// The id of a room by its number.
pub static ROOM_IDS: Table<RoomNumber, String> = Table::new("room_ids");
/// The number of a (type, state key) pair that is not a membership, by `numbers::pair_text`.
pub static STATE_KEYS: Table<String, StateKeyNumber> = Table::new("state_keys");
/// The (type, state key) pair of a number.
pub static STATE_KEY_NAMES: Table<StateKeyNumber, String> = Table::new("state_key_names");

/// Where a room stands: its last events, its current state. Read and written by every commit of the room's writer, so that
/// a second writer of the same room is a conflict.
pub static ROOM_HEADS: Table<RoomNumber, RoomHead> = Table::new("room_heads");
/// The number of an event by room and event id.
pub static EVENT_NUMBERS: Table<(RoomNumber, String), EventNumber> = Table::new("event_numbers");
/// Every event, once, as the JSON that was signed, with its place. Rewritten only by a redaction.
pub static EVENTS: Table<(RoomNumber, EventNumber), Placed<StoredEvent>> = Table::new("events");
/// The order of `/messages` and `/context`.
pub static TIMELINE: Table<(RoomNumber, Position), EventNumber> = Table::new("timeline");
/// The order of `/sync`: each accepted event when it arrived, and each change of the current state, with the state after it.
pub static ROOM_LOG: Table<(RoomNumber, Position), LogEntry> = Table::new("room_log");
/// Holes in a timeline, each by the position of the event behind it. Written by the room's writer; read by `/sync` and
/// `/messages`.
pub static GAPS: Table<(RoomNumber, Position), Gap> = Table::new("gaps");
/// Events that a gap misses, by event id, to the gap's position.
pub static MISSING_EVENTS: Table<(RoomNumber, String), Placed<()>> = Table::new("missing_events");
/// The auth events of each state event, from which auth chains are walked.
pub static AUTH_EDGES: Table<(RoomNumber, EventNumber), AuthEdges> = Table::new("auth_edges");
/// Events whose verdict depends on an event that is missing, unchecked or rejected: (room, that event's id, event).
pub static AUTH_WAITERS: Table<(RoomNumber, String, EventNumber), ()> = Table::new("auth_waiters");
/// Redactions that arrived before their target: (room, target's event id, redaction).
pub static EARLY_REDACTIONS: Table<(RoomNumber, String, EventNumber), ()> =
    Table::new("early_redactions");
/// Transaction ids of `/send` and `/redact`: (user, device, room, event type, transaction id) to the
/// event that was sent. For `/redact`, the event to redact follows the type. Written by the room's
/// writer; deleted when the device ends, or after three days.
pub static TRANSACTIONS: Table<(UserNumber, String, RoomNumber, String, String), SentEvent> =
    Table::new("transactions");

/// Who is, or was, in a room. Written by the room's writer; read by send, sync and visibility.
pub static MEMBERS: Table<(RoomNumber, UserNumber), Placed<Member>> = Table::new("members");
/// The rooms of a user: the mirror of `MEMBERS`, with what only concerns the user.
pub static USER_ROOMS: Table<(UserNumber, RoomNumber), Placed<UserRoom>> = Table::new("user_rooms");
/// Local users who are joined. Read where the remote members of a large room must not be walked: waking, device lists.
pub static LOCAL_MEMBERS: Table<(RoomNumber, UserNumber), ()> = Table::new("local_members");
/// The servers in a room, with how many of their users have joined. Written by the room's writer; read by everything that sends
/// to other servers or serves them.
pub static ROOM_SERVERS: Table<(RoomNumber, String), ServerInRoom> = Table::new("room_servers");
/// The rooms of a server: the mirror of `ROOM_SERVERS`.
pub static SERVER_ROOMS: Table<(String, RoomNumber), ()> = Table::new("server_rooms");
/// Users of other servers that have, or had, a membership in a room, by their server. Read where it is decided what a server may
/// see.
pub static SERVER_USERS: Table<(RoomNumber, String, UserNumber), ()> = Table::new("server_users");
/// Every membership that a user had in a room, oldest first. Read by visibility.
pub static MEMBER_HISTORY: Table<(RoomNumber, UserNumber, Position), MemberChange> =
    Table::new("member_history");
/// What another server has said of a room to an invited or knocking local user: (room, user). Written by `RoomWriter::note_outside` while
/// no local user has joined; read by `/sync`; deleted when the room is joined.
pub static OUTSIDE_MEMBERS: Table<(RoomNumber, UserNumber), OutsideMember> =
    Table::new("outside_members");

/// The room that an alias (`#name:server`) points to.
pub static ALIASES: Table<String, Alias> = Table::new("aliases");
/// The aliases of a room.
pub static ROOM_ALIASES: Table<(RoomNumber, String), ()> = Table::new("room_aliases");
/// The rooms that the directory shows.
pub static DIRECTORY: Table<RoomNumber, ()> = Table::new("directory");
/// Rooms that everybody may join or read, whose members everybody may find. Written by the room's writer; read by the user
/// directory.
pub static OPEN_ROOMS: Table<RoomNumber, OpenRoom> = Table::new("open_rooms");

/// The newest receipt of a user: (room, user, receipt kind, thread or "").
pub static RECEIPTS: Table<(RoomNumber, UserNumber, String, String), Placed<Receipt>> =
    Table::new("receipts");
/// Which receipt came when; superseded entries are deleted.
pub static RECEIPT_LOG: Table<(RoomNumber, Position), ReceiptKey> = Table::new("receipt_log");

/// Whether an event is part of the room (server-server API, "Checks performed on receipt of a PDU"). Independent of [`Place`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    Accepted,
    /// The state before it allows the event, the current state at its arrival did not. Part of states, shown to nobody by itself.
    SoftFailed(String),
    /// An authorization rule forbids it. The state after it is the state before it.
    Rejected(String),
    /// Not all of its auth events are known: judged when they are.
    Unchecked,
}

/// Where an event stands in the room's graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// Known without its previous events: part of a state or of an auth chain, in no timeline.
    Outlier,
    Placed(Placement),
    /// Fetched to fill a gap: in the timeline, without a state.
    Backfilled,
}

/// The states around a placed event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// The resolution of the states after its previous events.
    pub state_before: StateRoot,
    /// `None` where it equals the state before.
    pub state_after: Option<StateRoot>,
    /// How many had joined the room before this event.
    pub joined_before: u64,
}

/// One event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    pub verdict: Verdict,
    pub place: Place,
    pub event_id: String,
    pub sender: UserNumber,
    /// The state event that this one replaced.
    pub replaces: Option<EventNumber>,
    /// The redaction that emptied this event.
    pub redacted_because: Option<EventNumber>,
    /// The thread that it is in; kept when a redaction takes the relation.
    pub thread: Option<Thread>,
    /// The request that sent it, shown only to the device that sent it.
    pub transaction: Option<Transaction>,
    /// Canonical JSON, as it was signed.
    pub json: String,
}

/// A thread, as an event in it knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thread {
    /// Event id.
    pub root: String,
    /// Relations between the event and one that names the root itself.
    pub hops: u8,
}

/// The request that sent an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    pub user: UserNumber,
    pub device: String,
    pub id: String,
}

/// The event that a transaction id has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentEvent {
    pub event: EventNumber,
    /// When the request came.
    pub at: Millis,
}

/// How a room is open to everybody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRoom {
    /// The join rule is `public`.
    pub to_join: bool,
    /// The history is `world_readable`.
    pub to_read: bool,
}

/// The head of a room: its extremities and its current state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomHead {
    /// Room version, such as `12`.
    pub version: String,
    /// Grows with every commit of the room's writer: its fence.
    pub revision: u64,
    pub residency: Residency,
    /// The accepted events that nothing follows yet.
    pub extremities: Vec<Extremity>,
    /// The current state: the resolution of the states after the extremities.
    pub state: StateRoot,
    /// How many users have joined.
    pub joined: u64,
    /// How many users are invited.
    pub invited: u64,
}

/// How this server takes part in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Residency {
    /// Only the stripped state of an invite or a knock is known.
    Invited,
    /// The events of a join over federation are being stored.
    Joining,
    /// A local user is joined, and the whole current state is known.
    Resident,
    /// No local user is joined any more: former members still read what they saw.
    Left,
}

/// One entry of a room's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogEntry {
    /// `None` where resolution changed the current state and no event of the log shows it.
    pub event: Option<EventNumber>,
    /// The current state after the entry.
    pub state: StateRoot,
}

/// The first of the slots that backfilled events take. A commit's own slots stay below it.
pub const FIRST_FILLED_SLOT: u32 = 1 << 31;

/// The auth events of an event, by number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthEdges(pub Vec<EventNumber>);

/// A hole in the timeline right before the event at the row's position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Ids of the events that are referenced from behind the gap and are not held.
    pub missing: Vec<String>,
    /// The slot that the next filled event takes; filling goes from newer to older events, downwards.
    pub next_slot: u32,
}

/// An event that nothing follows yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extremity {
    pub event_id: String,
    pub depth: u64,
}

/// The `membership` of an `m.room.member` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Membership {
    Join,
    Invite,
    Knock,
    Leave,
    Ban,
}

/// What a server has to do with a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerInRoom {
    /// How many of its users have joined; a row is deleted when nobody has.
    pub joined: u64,
}

/// A change of a user's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberChange {
    pub membership: Membership,
    /// The member event now in force; `None` where resolution left the user without one.
    pub event: Option<EventNumber>,
}

/// Membership of one user in one room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub membership: Membership,
    /// The `m.room.member` event that says so.
    pub event: EventNumber,
}

/// One room of one user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRoom {
    pub membership: Membership,
    /// The member event in force; `None` where resolution left the user without one.
    pub event: Option<EventNumber>,
    /// Who made it so: an invite of an ignored user is not shown.
    pub by: UserNumber,
    /// Forgotten by `POST /rooms/{roomId}/forget`: no longer served to the user.
    pub forgotten: bool,
}

/// A local user's membership of a room that this server does not take part in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideMember {
    /// Stripped state, each event in JSON. Empty after a leave.
    pub stripped: Vec<String>,
}

/// Where an alias leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    pub room: RoomNumber,
    pub creator: UserNumber,
}

/// A receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub event_id: String,
    /// Unix milliseconds.
    pub ts: u64,
}

/// Which receipt a log entry speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptKey {
    pub user: UserNumber,
    /// `m.read` or `m.read.private`.
    pub kind: String,
    /// Empty for an unthreaded receipt, else `main` or the root event's id.
    pub thread: String,
}

impl Record for StoredEvent {}
impl Record for LogEntry {}
impl Record for Gap {}
impl Record for AuthEdges {}
impl Record for MemberChange {}
impl Record for ServerInRoom {}
impl Record for OpenRoom {}
impl Record for RoomHead {}
impl Record for Membership {}
impl Record for Member {}
impl Record for OutsideMember {}
impl Record for UserRoom {}
impl Record for Alias {}
impl Record for Receipt {}
impl Record for ReceiptKey {}

impl Record for SentEvent {}

impl Place {
    /// The states around the event, if it has any.
    pub fn placement(&self) -> Option<&Placement> {
        match self {
            Self::Placed(placement) => Some(placement),
            Self::Outlier | Self::Backfilled => None,
        }
    }
}

impl Placement {
    pub fn after(&self) -> StateRoot {
        self.state_after.unwrap_or(self.state_before)
    }
}

impl Membership {
    /// The word of the spec.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Invite => "invite",
            Self::Knock => "knock",
            Self::Leave => "leave",
            Self::Ban => "ban",
        }
    }

    /// `None` for anything but the five words of the spec.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "join" => Self::Join,
            "invite" => Self::Invite,
            "knock" => Self::Knock,
            "leave" => Self::Leave,
            "ban" => Self::Ban,
            _ => return None,
        })
    }
}

/// All tables of this crate, for docs/database.md.
pub fn tables() -> Vec<TableInfo> {
    vec![
        ROOM_NUMBERS.info(),
        ROOM_IDS.info(),
        STATE_KEYS.info(),
        STATE_KEY_NAMES.info(),
        crate::state_map::STATE_NODES.info(),
        ROOM_HEADS.info(),
        EVENT_NUMBERS.info(),
        EVENTS.info(),
        TIMELINE.info(),
        ROOM_LOG.info(),
        GAPS.info(),
        MISSING_EVENTS.info(),
        AUTH_EDGES.info(),
        AUTH_WAITERS.info(),
        EARLY_REDACTIONS.info(),
        TRANSACTIONS.info(),
        MEMBERS.info(),
        USER_ROOMS.info(),
        LOCAL_MEMBERS.info(),
        ROOM_SERVERS.info(),
        SERVER_ROOMS.info(),
        SERVER_USERS.info(),
        MEMBER_HISTORY.info(),
        OUTSIDE_MEMBERS.info(),
        ALIASES.info(),
        ROOM_ALIASES.info(),
        DIRECTORY.info(),
        OPEN_ROOMS.info(),
        RECEIPTS.info(),
        RECEIPT_LOG.info(),
        RELATIONS.info(),
        RELATION_SENDERS.info(),
        RELATION_COUNTS.info(),
        EDITS.info(),
        THREADS.info(),
        THREAD_ORDER.info(),
        THREAD_COUNTS.info(),
    ]
}
