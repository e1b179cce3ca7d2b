//! The heart: events, timeline, state, membership, aliases, directory, receipts, typing; each room's single writer.
//!
//! Writing goes through a room's writer (`writer`), one task per active room; reading takes a snapshot and asks the
//! functions here. Nothing here knows who follows: what clients can see is told in `database::server_log`.

mod aliases;
pub mod client_json;
mod create;
mod directory;
mod error;
mod event;
mod event_cache;
mod filter;
mod follow;
mod forget;
mod lookup;
mod membership;
mod numbers;
mod power;
pub mod receipts;
mod rooms;
mod send;
pub mod state_map;
mod state_read;
pub mod tables;
mod threads;
mod timeline;
mod token;
mod transactions;
mod typing;
mod user_directory;
mod visibility;
mod writer;

pub use crate::{
    create::{CreateRoom, InitialState, Preset, Visibility},
    directory::{DirectoryPage, DirectoryRequest, DirectoryToken, PublicRoom},
    error::RoomError,
    event::{Event, Unreadable},
    filter::{EventFilter, Relations},
    membership::{Change, MembershipRequest},
    numbers::{MEMBER_CLASS, Numbers, member_key, member_of},
    receipts::Markers,
    rooms::{MailboxLimits, Rooms, RoomsConfig},
    send::{Message, Redaction, Sent, State, TransactionId},
    state_read::{MembersFilter, StateFormat},
    tables::{EventStatus, Membership, RoomHead, tables},
    timeline::{Context, ContextRequest, Direction, MessagesPage, MessagesRequest, Reader},
    token::{AnyToken, BadToken, PaginationToken, SyncToken},
    transactions::REMEMBERED,
    typing::Typing,
    user_directory::{REBUILD_OPEN_ROOMS, UserSearch},
    visibility::{Standing, Viewer},
};
