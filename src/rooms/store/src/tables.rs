//! Every table of a room, each row with who writes and who reads it.
//!
//! Keys begin with the room's number wherever a row belongs to one room, so that purging a room is one range
//! deletion a table. Positions and stamps are explained in `database`.

use database::{
    Millis, Placed, Position, Record, RoomNumber, StoreError, Table, TableInfo, UserNumber,
    decode_form,
};
use serde::{Deserialize, Serialize};

use crate::state_map::{EventNumber, StateKeyNumber, StateRoot};

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
/// The order of `/sync`: what the room told, and when.
pub static ROOM_LOG: Table<(RoomNumber, Position), EventNumber> = Table::new("room_log");
/// Transaction ids of `/send` and `/redact`: (user, device, room, event type, transaction id) to the event that was sent. Written
/// by the room's writer; deleted when the device ends, or after three days.
pub static TRANSACTIONS: Table<(UserNumber, String, RoomNumber, String, String), SentEvent> =
    Table::new("transactions");

/// Who is, or was, in a room. Written by the room's writer; read by send, sync and visibility.
pub static MEMBERS: Table<(RoomNumber, UserNumber), Placed<Member>> = Table::new("members");
/// The rooms of a user: the mirror of `MEMBERS`, with what only concerns the user.
pub static USER_ROOMS: Table<(UserNumber, RoomNumber), Placed<UserRoom>> = Table::new("user_rooms");
/// Every membership that a user had in a room, oldest first. Read by visibility.
pub static MEMBER_HISTORY: Table<(RoomNumber, UserNumber, Position), Membership> =
    Table::new("member_history");

/// Who an alias (`#name:server`) leads to.
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

/// What happened to an event when it was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventStatus {
    /// Part of the room: shown, and a possible part of its state.
    Accepted,
    /// Passed the checks of its time but not those of now: kept, not shown.
    SoftFailed(String),
    /// Failed the authorization rules, with the reason.
    Rejected(String),
    /// Known without its place in the room.
    Outlier,
}

/// One event as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEvent {
    pub status: EventStatus,
    pub event_id: String,
    pub sender: UserNumber,
    /// The room's state before this event.
    pub state_before: StateRoot,
    /// The state event that this one replaced.
    pub replaces: Option<EventNumber>,
    /// The redaction that emptied this event.
    pub redacted_because: Option<EventNumber>,
    /// How many had joined the room before this event.
    pub joined_before: u64,
    /// The thread that it is in; kept when a redaction takes the relation.
    pub thread: Option<Thread>,
    /// The request that sent it, told only to the device that sent it.
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

/// Where a room stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomHead {
    /// Room version, such as `12`.
    pub version: String,
    /// The events that nothing follows yet.
    pub extremities: Vec<Extremity>,
    /// The current state.
    pub state: StateRoot,
    /// How many users have joined.
    pub joined: u64,
    /// How many users are invited.
    pub invited: u64,
    /// The timeline position of the oldest backfilled event; the next one goes below.
    pub backfilled_down_to: u64,
    /// How many events the room's log holds.
    pub events: u64,
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
    /// The `m.room.member` event that says so.
    pub event: EventNumber,
    /// Who made it so: an invite of an ignored user is not shown.
    pub by: UserNumber,
    /// Forgotten by `POST /rooms/{roomId}/forget`: no longer served to the user.
    pub forgotten: bool,
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

impl Record for StoredEvent {
    const VERSION: u8 = 2;

    fn decode_older(version: u8, raw: &[u8]) -> Result<Self, StoreError> {
        if version != 1 {
            return Err(StoreError::Corrupt("StoredEvent"));
        }
        let old: StoredEventV1 = decode_form(raw)?;
        Ok(Self {
            status: old.status,
            event_id: old.event_id,
            sender: old.sender,
            state_before: old.state_before,
            replaces: old.replaces,
            redacted_because: old.redacted_because,
            joined_before: 0,
            thread: None,
            transaction: old.transaction,
            json: old.json,
        })
    }
}

/// An event before it knew how many had joined before it, and its thread: zero and none are read instead.
#[derive(Deserialize)]
struct StoredEventV1 {
    status: EventStatus,
    event_id: String,
    sender: UserNumber,
    state_before: StateRoot,
    replaces: Option<EventNumber>,
    redacted_because: Option<EventNumber>,
    transaction: Option<Transaction>,
    json: String,
}

impl Record for OpenRoom {}
impl Record for RoomHead {}
impl Record for Membership {}
impl Record for Member {}
impl Record for UserRoom {}
impl Record for Alias {}
impl Record for Receipt {}
impl Record for ReceiptKey {}

impl Record for SentEvent {
    const VERSION: u8 = 2;

    /// Version 1 was the event alone: it counts as sent long ago.
    fn decode_older(version: u8, raw: &[u8]) -> Result<Self, StoreError> {
        if version != 1 {
            return Err(StoreError::Corrupt("SentEvent"));
        }
        Ok(Self {
            event: decode_form(raw)?,
            at: Millis::default(),
        })
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
        TRANSACTIONS.info(),
        MEMBERS.info(),
        USER_ROOMS.info(),
        MEMBER_HISTORY.info(),
        ALIASES.info(),
        ROOM_ALIASES.info(),
        DIRECTORY.info(),
        OPEN_ROOMS.info(),
        RECEIPTS.info(),
        RECEIPT_LOG.info(),
    ]
}

#[cfg(test)]
mod tests {
    use database::Value as _;

    use super::*;

    /// What the first version wrote: its number, then the fields in order.
    #[test]
    fn a_transaction_id_of_the_first_version_is_read() {
        let sent = SentEvent::decode(&[1, 7]).expect("it is read");
        assert_eq!(sent.event, EventNumber(7));
        assert_eq!(sent.at, Millis(0));
    }

    #[test]
    fn an_event_of_the_first_version_is_read() {
        let mut raw = vec![1, 0, 2];
        raw.extend_from_slice(b"$e");
        raw.push(7);
        raw.extend_from_slice(&[9; 16]);
        raw.extend_from_slice(&[0, 0, 0, 2]);
        raw.extend_from_slice(b"{}");
        let event = StoredEvent::decode(&raw).expect("it is read");
        assert_eq!(event.event_id, "$e");
        assert_eq!(event.sender, UserNumber(7));
        assert_eq!((event.joined_before, event.thread), (0, None));
        assert_eq!(event.json, "{}");
    }
}
