//! What can go wrong in a room, in the words of the domain. The api crate turns each into an errcode.

use database::StoreError;
use protocol::{authorize::AuthError, content::ContentError, event::DraftError};

use crate::event::Unreadable;

/// Why a room refused.
#[derive(Debug, thiserror::Error)]
pub enum RoomError {
    #[error("unknown room")]
    UnknownRoom,
    #[error("unknown event")]
    UnknownEvent,
    #[error("you are not in this room")]
    NotInRoom,
    /// Only who has left can forget a room.
    #[error("you are still in this room, or invited to it")]
    StillInRoom,
    /// The authorization rules of the room's version say no.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// The request is well formed but says something that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The initial state of a new room has an event that is not allowed there.
    #[error("{0}")]
    InitialState(String),
    #[error("the user accepts no invites")]
    InviteBlocked,
    #[error("the user is not banned")]
    NotBanned,
    /// The content is not what the event type or canonical JSON allows.
    #[error("{0}")]
    BadContent(String),
    #[error("the event is too large")]
    TooLarge,
    #[error("this server does not know room version {0}")]
    UnsupportedVersion(String),
    #[error("that alias is taken")]
    AliasInUse,
    #[error("no such alias")]
    UnknownAlias,
    /// A user or room of another server: federation is not there.
    #[error("{0} is on another server, and this server does not federate")]
    Remote(String),
    /// No other server could be used for what was asked.
    #[error("{0}")]
    NoServer(String),
    /// The room's writer has more to do than it may queue.
    #[error("this room is busy")]
    Busy,
    #[error("the server is shutting down")]
    ShuttingDown,
    #[error("the database holds an event that cannot be read")]
    Damaged,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Unreadable> for RoomError {
    fn from(_: Unreadable) -> Self {
        Self::Damaged
    }
}

impl From<AuthError> for RoomError {
    fn from(error: AuthError) -> Self {
        Self::Forbidden(error.to_string())
    }
}

impl From<ContentError> for RoomError {
    fn from(error: ContentError) -> Self {
        Self::BadContent(error.to_string())
    }
}

impl From<DraftError> for RoomError {
    fn from(error: DraftError) -> Self {
        match error {
            DraftError::TooLarge(_) | DraftError::TooLong(_) => Self::TooLarge,
            DraftError::Malformed(_) => Self::BadContent(error.to_string()),
        }
    }
}
