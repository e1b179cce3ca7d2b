//! Whom a room is served to, and in which form an event is.

use std::sync::Arc;

use database::{RoomNumber, Snapshot};
use protocol::{redact, room_version};
use rooms_history::ServerViewer;
use rooms_store::{Event, Residency, RoomError, RoomHead, Verdict};
use ruma::{RoomId, RoomVersionId, ServerName, room_version_rules::RoomVersionRules};

use crate::handle::RemoteRooms;

/// An event as another server gets it.
#[derive(Clone, Debug)]
pub enum Served {
    Whole(Arc<Event>),
    /// The server may not see the content, but needs the event to know the room's graph.
    Redacted(String),
}

impl Served {
    /// The PDU.
    pub fn json(&self) -> &str {
        match self {
            Self::Whole(event) => event.json(),
            Self::Redacted(json) => json,
        }
    }
}

/// A room that is served.
pub(super) struct ServedRoom {
    pub(super) room: RoomNumber,
    pub(super) rules: &'static RoomVersionRules,
    pub(super) viewer: ServerViewer,
}

impl RemoteRooms {
    /// A room of which a server wants to know something: this server and the other one are in it, and the room's access list
    /// admits the other one. Unknown rooms are refused alike, so that nobody learns which rooms exist.
    pub(super) async fn served_room(
        &self,
        db: &Snapshot,
        room_id: &RoomId,
        server: &ServerName,
    ) -> Result<ServedRoom, RoomError> {
        let room = self.rooms().number(db, room_id).await?;
        let room = room.ok_or(RoomError::NotInRoom)?;
        self.served(db, room, server).await
    }

    /// The same, by number.
    pub(super) async fn served(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        server: &ServerName,
    ) -> Result<ServedRoom, RoomError> {
        let head = self.resident_head(db, room).await?;
        let head = head.ok_or(RoomError::NotInRoom)?;
        self.require_admitted(db, room, server).await?;
        if !self.rooms().is_server_joined(db, room, server).await? {
            return Err(RoomError::NotInRoom);
        }
        Ok(ServedRoom {
            room,
            rules: rules_of(&head)?,
            viewer: self.history().server_viewer(room, server),
        })
    }

    /// The head of a room that this server is in.
    pub(super) async fn resident_head(
        &self,
        db: &Snapshot,
        room: RoomNumber,
    ) -> Result<Option<RoomHead>, RoomError> {
        match self.rooms().head(db, room).await {
            Ok(head) => Ok(Some(head).filter(|head| head.residency == Residency::Resident)),
            Err(RoomError::UnknownRoom) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn require_admitted(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        server: &ServerName,
    ) -> Result<(), RoomError> {
        if self.admits(db, room, server).await? {
            return Ok(());
        }
        let reason = "the room's access list excludes your server";
        Err(RoomError::Forbidden(reason.to_owned()))
    }

    /// Events in the form in which the server of the viewer gets them.
    pub(super) async fn serve(
        &self,
        db: &Snapshot,
        room: &mut ServedRoom,
        events: Vec<Arc<Event>>,
    ) -> Result<Vec<Served>, RoomError> {
        let mut served = Vec::with_capacity(events.len());
        for event in events {
            let is_seen = room.viewer.may_see(self.history(), db, &event).await?;
            served.push(if is_seen {
                Served::Whole(event)
            } else {
                let json = redact::redact(event.json(), &room.rules.redaction);
                Served::Redacted(json.map_err(|_| RoomError::Damaged)?)
            });
        }
        Ok(served)
    }
}

pub(super) fn rules_of(head: &RoomHead) -> Result<&'static RoomVersionRules, RoomError> {
    let version = RoomVersionId::try_from(head.version.as_str()).ok();
    let rules = version.and_then(|version| room_version::rules(&version));
    rules.ok_or(RoomError::Damaged)
}

/// Whether an event is given to others at all. Soft-failed ones are: they are part of the graph.
pub(super) fn is_servable(event: &Event) -> bool {
    matches!(event.verdict, Verdict::Accepted | Verdict::SoftFailed(_))
}
