//! Membership: join, invite, leave, kick, ban, unban, knock (client-server API, "Room membership").
//!
//! What is asked here is checked again by the authorization rules in the room's writer; the checks here are those that
//! the rules do not make, such as that who is kicked must be there.

use database::{Read, RoomNumber, Snapshot};
use ruma::{OwnedUserId, RoomId, UserId};
use serde_json::{Map, Value};

use crate::{handle::RoomWriter, registry::Intent};
use rooms_store::{
    RoomError,
    tables::{MEMBERS, Membership},
};

/// What shall become of a user's membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Join,
    Invite,
    /// Also rejects an invite and takes back a knock.
    Leave,
    Kick,
    Ban,
    Unban,
    Knock,
}

/// A change of membership that a local user asks for.
#[derive(Clone, Debug)]
pub struct MembershipRequest {
    pub sender: OwnedUserId,
    pub target: OwnedUserId,
    pub change: Change,
    pub reason: Option<String>,
    /// Of an invite: the room is meant as a direct chat.
    pub is_direct: bool,
    /// Further keys for the content of the member event.
    pub extra: Map<String, Value>,
}

impl MembershipRequest {
    /// A change of one's own membership.
    pub fn own(user: OwnedUserId, change: Change) -> Self {
        Self::of(user.clone(), user, change)
    }

    /// A change of somebody's membership.
    pub fn of(sender: OwnedUserId, target: OwnedUserId, change: Change) -> Self {
        Self {
            sender,
            target,
            change,
            reason: None,
            is_direct: false,
            extra: Map::new(),
        }
    }

    #[must_use]
    pub fn because(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }
}

impl RoomWriter {
    /// Makes the change, or finds that it is already so.
    pub async fn change_membership(
        &self,
        room_id: &RoomId,
        request: MembershipRequest,
    ) -> Result<(), RoomError> {
        let is_remote = request.target.server_name() != self.rooms.server_name();
        // An invite needs the signature of the other server.
        if is_remote && request.change == Change::Invite {
            return Err(RoomError::Remote(request.target.to_string()));
        }
        self.write(room_id, 1024, Intent::Membership(request))
            .await
            .map(drop)
    }
}

impl RoomWriter {
    /// The content of a member event as the user's profile has it.
    pub(crate) async fn member_content(
        &self,
        user: &UserId,
        membership: &str,
    ) -> Result<Map<String, Value>, RoomError> {
        let mut content = Map::new();
        content.insert("membership".to_owned(), membership.into());
        let db = self.rooms.snapshot().await?;
        let Some(number) = self.rooms.users().number(&db, user).await? else {
            return Ok(content);
        };
        let profile = self.rooms.users().profile(&db, number).await?;
        if let Some(name) = profile.displayname {
            content.insert("displayname".to_owned(), name.into());
        }
        if let Some(avatar) = profile.avatar_url {
            content.insert("avatar_url".to_owned(), avatar.into());
        }
        Ok(content)
    }

    /// Some local user who has joined the room.
    pub(crate) async fn any_joined_local(
        &self,
        db: &Snapshot,
        room: RoomNumber,
    ) -> Result<Option<OwnedUserId>, RoomError> {
        let mut rows = MEMBERS.under(room);
        loop {
            let page = db.page(rows, 64).await?;
            for ((_, user), row) in &page {
                if row.value.membership != Membership::Join {
                    continue;
                }
                let user_id = self.rooms.users().user_id(db, *user).await?;
                if let Some(user_id) =
                    user_id.filter(|id| id.server_name() == self.rooms.server_name())
                {
                    return Ok(Some(user_id));
                }
            }
            let Some(((_, last), _)) = page.last() else {
                return Ok(None);
            };
            rows = MEMBERS.under(room).after((room, *last));
        }
    }
}
