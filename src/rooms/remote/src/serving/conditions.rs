//! Restricted rooms: who of another server may join, and in whose name (server-server API, "Restricted rooms").

use database::{Read as _, Snapshot};
use protocol::scan;
use rooms_store::{Membership, RoomError, tables::LOCAL_MEMBERS};
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::Value;

use super::handshake::{HandshakeError, ResidentRoom};
use crate::handle::RemoteRooms;

/// Conditions of a join rule that are looked at.
const MOST_CONDITIONS: usize = 64;
/// Local members among whom one who may invite is looked for.
const MOST_MEMBERS: usize = 100;

#[derive(Deserialize)]
struct JoinRules {
    #[serde(default)]
    join_rule: String,
    #[serde(default)]
    allow: Vec<Value>,
}

impl RemoteRooms {
    /// The user of this server in whose name a user of another one may join; `None` where the join needs nobody.
    pub(super) async fn authorizing_user(
        &self,
        db: &Snapshot,
        room: &ResidentRoom,
        user: &UserId,
    ) -> Result<Option<OwnedUserId>, HandshakeError> {
        let rooms = self.rooms();
        let rules = rooms.state_event(db, room.room, room.head.state, "m.room.join_rules", "");
        let rules = rules.await?;
        let rules = rules.and_then(|event| serde_json::from_str(event.content()).ok());
        let Some(JoinRules { join_rule, allow }) = rules else {
            return Ok(None);
        };
        let features = &room.rules.authorization;
        let is_restricted = (join_rule == "restricted" && features.restricted_join_rule)
            || (join_rule == "knock_restricted" && features.knock_restricted_join_rule);
        let before = self.membership_in(db, room, user).await?;
        if !is_restricted || matches!(before, Some(Membership::Join | Membership::Invite)) {
            return Ok(None);
        }
        self.require_condition(db, user, &allow).await?;
        let member = self.member_who_may_invite(db, room).await?;
        member.map(Some).ok_or(HandshakeError::UnableToGrant)
    }

    /// A user's membership in the current state.
    pub(super) async fn membership_in(
        &self,
        db: &Snapshot,
        room: &ResidentRoom,
        user: &UserId,
    ) -> Result<Option<Membership>, RoomError> {
        let (state, kind) = (room.head.state, "m.room.member");
        let event = self
            .rooms()
            .state_event(db, room.room, state, kind, user.as_str());
        Ok(event.await?.and_then(|event| event.membership))
    }

    /// The user has joined one of the rooms that the join rules name.
    async fn require_condition(
        &self,
        db: &Snapshot,
        user: &UserId,
        allow: &[Value],
    ) -> Result<(), HandshakeError> {
        let number = self.rooms().users().number(db, user).await?;
        let mut is_unsure = false;
        for condition in allow.iter().take(MOST_CONDITIONS) {
            if condition["type"].as_str() != Some("m.room_membership") {
                continue;
            }
            let id = condition["room_id"].as_str();
            let Some(id) = id.and_then(|id| OwnedRoomId::try_from(id).ok()) else {
                continue;
            };
            let room = self.rooms().number(db, &id).await?;
            let head = match room {
                Some(room) => self.resident_head(db, room).await?,
                None => None,
            };
            let (Some(room), Some(_)) = (room, head) else {
                is_unsure = true;
                continue;
            };
            if let Some(user) = number
                && self.rooms().is_joined(db, room, user).await?
            {
                return Ok(());
            }
        }
        if is_unsure {
            return Err(HandshakeError::UnableToAuthorize);
        }
        let reason = "the user is in none of the rooms whose members may join";
        Err(RoomError::Forbidden(reason.to_owned()).into())
    }

    /// A local member who may invite: one of those with a level of their own, or anyone if everyone may.
    async fn member_who_may_invite(
        &self,
        db: &Snapshot,
        room: &ResidentRoom,
    ) -> Result<Option<OwnedUserId>, RoomError> {
        let rooms = self.rooms();
        let levels = rooms.power_levels(db, room.room).await?;
        let (state, kind) = (room.head.state, "m.room.power_levels");
        let named = rooms.state_event(db, room.room, state, kind, "").await?;
        let named = named
            .as_ref()
            .and_then(|event| scan::member(event.content(), "users"))
            .and_then(|users| scan::members(users).ok())
            .unwrap_or_default();
        let named = named
            .into_iter()
            .filter_map(|(name, _)| OwnedUserId::try_from(name).ok());
        let with_level = levels.creators().iter().cloned().chain(named);
        for user in with_level.filter(|user| user.server_name() == rooms.server_name()) {
            let is_joined = self.membership_in(db, room, &user).await? == Some(Membership::Join);
            if levels.may_invite(&user) && is_joined {
                return Ok(Some(user));
            }
        }
        for ((_, user), ()) in db
            .page(LOCAL_MEMBERS.under(room.room), MOST_MEMBERS)
            .await?
        {
            let user = rooms.users().user_id(db, user).await?;
            if let Some(user) = user.filter(|user| levels.may_invite(user)) {
                return Ok(Some(user));
            }
        }
        Ok(None)
    }
}
