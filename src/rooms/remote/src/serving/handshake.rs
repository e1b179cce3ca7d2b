//! What the handshakes have in common (server-server API, "Joining Rooms", "Leaving Rooms", "Knocking upon a room").

use database::{RoomNumber, Snapshot, StoreError};
use rooms_store::{RoomError, RoomHead};
use ruma::{RoomId, ServerName, room_version_rules::RoomVersionRules};

use super::access::rules_of;
use crate::handle::RemoteRooms;

/// What a user of another server wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Join,
    Leave,
    Knock,
}

/// Why a handshake fails.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The other server does not know this room version.
    #[error("the room has version {0}, which your server does not support")]
    IncompatibleVersion(String),
    /// No condition of the join rules holds, as far as this server knows, and it does not know all rooms that they name.
    #[error("this server cannot tell whether the user may join")]
    UnableToAuthorize,
    /// The user may join, but no user of this server can let them in.
    #[error("no user of this server can let the user in")]
    UnableToGrant,
    /// The event is not one that this handshake sends.
    #[error("{0}")]
    InvalidEvent(String),
    /// `invite_room_state` lacks the room's create event.
    #[error("the stripped state has no create event of this room")]
    MissingCreate,
    #[error(transparent)]
    Room(#[from] RoomError),
}

impl From<StoreError> for HandshakeError {
    fn from(error: StoreError) -> Self {
        Self::Room(error.into())
    }
}

/// The room of a handshake. The other server need not be in it.
pub(super) struct ResidentRoom {
    pub(super) room: RoomNumber,
    pub(super) head: RoomHead,
    pub(super) rules: &'static RoomVersionRules,
}

impl Handshake {
    /// The membership that it leads to.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Leave => "leave",
            Self::Knock => "knock",
        }
    }
}

impl RemoteRooms {
    /// A room that this server is in and whose access list admits the other one.
    pub(super) async fn resident_room(
        &self,
        db: &Snapshot,
        room_id: &RoomId,
        server: &ServerName,
    ) -> Result<ResidentRoom, RoomError> {
        let room = self.rooms().require(db, room_id).await?;
        let head = self.resident_head(db, room).await?;
        let head = head.ok_or(RoomError::UnknownRoom)?;
        self.require_admitted(db, room, server).await?;
        Ok(ResidentRoom {
            room,
            rules: rules_of(&head)?,
            head,
        })
    }
}
