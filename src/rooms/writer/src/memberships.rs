//! Changes of membership: the content of the member event, and what the authorization rules leave to the server.

use protocol::{power_levels::PowerLevels, scan};
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    build::Draft,
    turn::{Pause, Turn},
};
use crate::{
    membership::{Change, MembershipRequest},
    send::Sent,
};
use rooms_store::{RoomError, tables::Membership};

/// The content of `m.room.join_rules`, as far as a join needs it.
#[derive(Deserialize)]
struct JoinRules {
    join_rule: String,
    #[serde(default)]
    allow: Vec<Value>,
}

impl Turn<'_> {
    pub(crate) async fn change_membership(
        &mut self,
        request: &MembershipRequest,
    ) -> Result<Sent, Pause> {
        let before = self.membership(&request.target).await?;
        check_change(request.change, before)?;
        if request.change == Change::Invite && self.blocks_invites(&request.target).await? {
            return Err(RoomError::InviteBlocked.into());
        }
        let target = request.target.as_str();
        let is_join = request.change == Change::Join;
        if is_join
            && before == Some(Membership::Join)
            && let Some(entry) = self.entry("m.room.member", target).await?
        {
            return Ok(Sent {
                event_id: entry.event.id().to_owned(),
            });
        }
        let mut content = request.extra.clone();
        content.extend(self.profile_content(request).await?);
        content.insert("membership".to_owned(), word(request.change).into());
        if let Some(reason) = &request.reason {
            content.insert("reason".to_owned(), reason.as_str().into());
        }
        if request.is_direct && request.change == Change::Invite {
            content.insert("is_direct".to_owned(), Value::Bool(true));
        }
        content.remove("join_authorised_via_users_server");
        if is_join && let Some(user) = self.authorizing_user(&request.target, before).await? {
            content.insert(
                "join_authorised_via_users_server".to_owned(),
                user.as_str().into(),
            );
        }
        self.append(Draft::state(
            &request.sender,
            "m.room.member",
            target,
            &content,
        )?)
        .await
    }

    /// Whether a local user wants no invites. Of users of other servers, their server knows.
    pub(crate) async fn blocks_invites(&self, user: &UserId) -> Result<bool, RoomError> {
        let users = self.writer.rooms.users();
        let Some(number) = users.number(&self.db, user).await? else {
            return Ok(false);
        };
        Ok(users.blocks_invites(&self.db, number).await?)
    }

    /// The member event of a joined user, again, with the profile of now.
    pub(crate) async fn profile(&mut self, user: &UserId) -> Result<Sent, Pause> {
        let entry = self.entry("m.room.member", user.as_str()).await?;
        let Some(entry) = entry.filter(|entry| entry.membership == Some(Membership::Join)) else {
            return Err(RoomError::NotInRoom.into());
        };
        let before: Map<String, Value> =
            serde_json::from_str(entry.event.content()).map_err(|_| RoomError::Damaged)?;
        let mut content = before.clone();
        content.remove("displayname");
        content.remove("avatar_url");
        content.remove("join_authorised_via_users_server");
        content.extend(self.writer.member_content(user, "join").await?);
        if content == before {
            return Ok(Sent {
                event_id: entry.event.id().to_owned(),
            });
        }
        self.append(Draft::state(
            user,
            "m.room.member",
            user.as_str(),
            &content,
        )?)
        .await
    }

    /// Who joins, knocks or is invited is shown with their profile.
    async fn profile_content(
        &self,
        request: &MembershipRequest,
    ) -> Result<Map<String, Value>, RoomError> {
        match request.change {
            Change::Join | Change::Invite | Change::Knock => {
                self.writer
                    .member_content(&request.target, word(request.change))
                    .await
            }
            Change::Leave | Change::Kick | Change::Ban | Change::Unban => Ok(Map::new()),
        }
    }

    /// In a restricted room, the member with the power to invite in whose name a local user may join (client-server API,
    /// "Restricted rooms"). `None` where the join needs nobody.
    pub(crate) async fn authorizing_user(
        &mut self,
        user: &UserId,
        before: Option<Membership>,
    ) -> Result<Option<OwnedUserId>, RoomError> {
        if matches!(before, Some(Membership::Join | Membership::Invite)) {
            return Ok(None);
        }
        let Some(rules) = self.entry("m.room.join_rules", "").await? else {
            return Ok(None);
        };
        let Ok(rules) = serde_json::from_str::<JoinRules>(rules.event.content()) else {
            return Ok(None);
        };
        if rules.join_rule != "restricted" && rules.join_rule != "knock_restricted" {
            return Ok(None);
        }
        if !self.is_in_one_of(user, &rules.allow).await? {
            return Err(RoomError::Forbidden(
                "you are in none of the rooms whose members may join".to_owned(),
            ));
        }
        match self.member_who_may_invite().await? {
            Some(member) => Ok(Some(member)),
            None => Err(RoomError::Forbidden(
                "nobody here can let you in".to_owned(),
            )),
        }
    }

    /// Whether the user has joined one of the rooms that the join rules name.
    async fn is_in_one_of(&self, user: &UserId, allow: &[Value]) -> Result<bool, RoomError> {
        let Some(user) = self.writer.rooms.users().number(&self.db, user).await? else {
            return Ok(false);
        };
        for condition in allow.iter().take(64) {
            if condition.get("type").and_then(Value::as_str) != Some("m.room_membership") {
                continue;
            }
            let id = condition.get("room_id").and_then(Value::as_str);
            let Some(id) = id.and_then(|id| OwnedRoomId::try_from(id).ok()) else {
                continue;
            };
            let Some(room) = self.writer.rooms.number(&self.db, &id).await? else {
                continue;
            };
            if self.writer.rooms.is_joined(&self.db, room, user).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A local member who may invite: one of those with a level of their own, or anyone if everyone may.
    async fn member_who_may_invite(&mut self) -> Result<Option<OwnedUserId>, RoomError> {
        let levels = self.power_levels().await?;
        let named = self.entry("m.room.power_levels", "").await?;
        let named = named
            .as_ref()
            .and_then(|entry| scan::member(entry.event.content(), "users"));
        let named = named
            .and_then(|users| scan::members(users).ok())
            .unwrap_or_default();
        let named = named
            .into_iter()
            .filter_map(|(name, _)| OwnedUserId::try_from(name).ok());
        for user in levels.creators().iter().cloned().chain(named) {
            let may =
                levels.may_invite(&user) && user.server_name() == self.writer.rooms.server_name();
            if may && self.membership(&user).await? == Some(Membership::Join) {
                return Ok(Some(user));
            }
        }
        let Some(room) = self.facts.room else {
            return Ok(None);
        };
        let member = self.writer.any_joined_local(&self.db, room).await?;
        Ok(member.filter(|member| levels.may_invite(member)))
    }

    /// The room's power levels, with its creators.
    pub(crate) async fn power_levels(&mut self) -> Result<PowerLevels, RoomError> {
        let create = self
            .entry("m.room.create", "")
            .await?
            .ok_or(RoomError::Damaged)?;
        let levels = self.entry("m.room.power_levels", "").await?;
        let levels = levels.as_ref().map(|entry| &entry.event);
        PowerLevels::new(self.facts.rules, &create.event, levels).map_err(|_| {
            RoomError::Forbidden("the room's power levels are not readable".to_owned())
        })
    }
}

fn word(change: Change) -> &'static str {
    match change {
        Change::Join => "join",
        Change::Invite => "invite",
        Change::Leave | Change::Kick | Change::Unban => "leave",
        Change::Ban => "ban",
        Change::Knock => "knock",
    }
}

/// What a request means only if the target is, or is not, in the room.
fn check_change(change: Change, before: Option<Membership>) -> Result<(), RoomError> {
    use Membership::{Ban, Invite, Join, Knock};
    let is_inside = matches!(before, Some(Join | Invite | Knock));
    if change == Change::Unban && before != Some(Ban) {
        return Err(RoomError::NotBanned);
    }
    let refused = match change {
        Change::Kick if !is_inside => Some("the user is not in the room"),
        Change::Leave if !is_inside => Some("you are not in the room"),
        Change::Invite if before == Some(Join) => Some("the user is already in the room"),
        Change::Knock if before == Some(Join) => Some("you are already in the room"),
        Change::Knock if before == Some(Invite) => Some("you are invited: join the room"),
        _ => None,
    };
    refused.map_or(Ok(()), |reason| {
        Err(RoomError::Forbidden(reason.to_owned()))
    })
}
