//! Room aliases (client-server API, "Room aliases").
//!
//! An alias is this server's word for where a room is; the room's own word is `m.room.canonical_alias`. When an alias goes,
//! the canonical alias event goes along if who deletes may send it.

use database::{Read, RoomNumber, Snapshot, UserNumber};
use ruma::{OwnedRoomId, OwnedServerName, RoomAliasId, RoomId, UserId, events::TimelineEventType};
use serde_json::{Map, Value, value::RawValue};

use crate::handle::RoomDirectory;
use rooms_history::Standing;
use rooms_store::{
    RoomError,
    tables::{ALIASES, Alias, ROOM_ALIASES},
};
use rooms_writer::State;

const CANONICAL_ALIAS: &str = "m.room.canonical_alias";
/// Aliases of one room.
const MOST: usize = 1_000;
/// Servers in the answer to who asks for an alias.
const MOST_SERVERS: usize = 50;

impl RoomDirectory {
    /// The id of the room that an alias leads to.
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> Result<OwnedRoomId, RoomError> {
        if alias.server_name() != self.rooms.server_name() {
            return Err(RoomError::Remote(alias.to_string()));
        }
        let db = self.rooms.snapshot().await?;
        let room = self
            .rooms
            .alias_target(&db, alias.as_str())
            .await?
            .ok_or(RoomError::UnknownAlias)?;
        self.rooms.room_id(&db, room).await
    }

    /// Servers by which a room can be joined: this one first, if it is in the room.
    pub async fn servers_of(&self, room_id: &RoomId) -> Result<Vec<OwnedServerName>, RoomError> {
        let db = self.rooms.snapshot().await?;
        let room = self.rooms.require(&db, room_id).await?;
        let own = self.rooms.server_name();
        let mut servers = self
            .rooms
            .servers_in_room(&db, room, None, MOST_SERVERS)
            .await?;
        servers.retain(|server| server != own);
        if self.rooms.is_server_joined(&db, room, own).await? {
            servers.insert(0, own.to_owned());
        }
        Ok(servers)
    }

    /// Gives a room of the creator's another name.
    pub async fn create_alias(
        &self,
        alias: &RoomAliasId,
        room_id: &RoomId,
        creator: UserNumber,
    ) -> Result<(), RoomError> {
        if alias.server_name() != self.rooms.server_name() {
            return Err(RoomError::Invalid(format!(
                "{alias} is not an alias of this server"
            )));
        }
        let alias = alias.as_str();
        self.rooms
            .store()
            .transact::<_, RoomError, _>(|txn| async move {
                let room = self.rooms.require(&txn, room_id).await?;
                if !self.rooms.is_joined(&txn, room, creator).await? {
                    return Err(RoomError::NotInRoom);
                }
                if txn.get(ALIASES.at(alias)).await?.is_some() {
                    return Err(RoomError::AliasInUse);
                }
                if txn.page(ROOM_ALIASES.under(room), MOST).await?.len() == MOST {
                    return Err(RoomError::Invalid(format!(
                        "a room has at most {MOST} aliases"
                    )));
                }
                txn.put(ALIASES.at(alias), &Alias { room, creator });
                txn.put(ROOM_ALIASES.at((room, alias)), &());
                Ok(())
            })
            .await?;
        Ok(())
    }

    /// Deletes an alias: who made it may, and who may send the room's canonical alias.
    pub async fn delete_alias(
        &self,
        alias: &RoomAliasId,
        user: UserNumber,
        user_id: &UserId,
    ) -> Result<(), RoomError> {
        let db = self.rooms.snapshot().await?;
        let row = db
            .get(ALIASES.at(alias.as_str()))
            .await?
            .ok_or(RoomError::UnknownAlias)?;
        if row.creator != user && !self.may_name(&db, row.room, user, user_id).await? {
            return Err(RoomError::Forbidden("this alias is not yours".to_owned()));
        }
        let room_id = self.rooms.room_id(&db, row.room).await?;
        drop(db);
        let expected = &row;
        self.rooms
            .store()
            .transact::<_, RoomError, _>(|txn| async move {
                match txn.get(ALIASES.at(alias.as_str())).await? {
                    Some(now) if now == *expected => {}
                    Some(_) | None => return Err(RoomError::UnknownAlias),
                }
                txn.delete(ALIASES.at(alias.as_str()));
                txn.delete(ROOM_ALIASES.at((expected.room, alias.as_str())));
                Ok(())
            })
            .await?;
        self.unname(&room_id, alias, user_id).await
    }

    /// The aliases of a room, for its members, or for everybody if it is world readable.
    pub async fn aliases_for(
        &self,
        room_id: &RoomId,
        user: UserNumber,
    ) -> Result<Vec<String>, RoomError> {
        let db = self.rooms.snapshot().await?;
        let (room, standing) = self.history.require_standing(&db, room_id, user).await?;
        if let Standing::Left(_) = standing {
            return Err(RoomError::NotInRoom);
        }
        let rows = db.page(ROOM_ALIASES.under(room), MOST).await?;
        Ok(rows.into_iter().map(|((_, alias), ())| alias).collect())
    }

    /// Whether a user is in a room and has the power to say how it is called.
    pub(crate) async fn may_name(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        user: UserNumber,
        user_id: &UserId,
    ) -> Result<bool, RoomError> {
        if !self.rooms.is_joined(db, room, user).await? {
            return Ok(false);
        }
        let levels = self.rooms.power_levels(db, room).await?;
        Ok(levels.may_send_state(user_id, &TimelineEventType::RoomCanonicalAlias))
    }

    /// Takes a deleted alias out of the room's canonical alias event. It is deleted all the same if the user may not.
    async fn unname(
        &self,
        room_id: &RoomId,
        alias: &RoomAliasId,
        user_id: &UserId,
    ) -> Result<(), RoomError> {
        let db = self.rooms.snapshot().await?;
        let room = self.rooms.require(&db, room_id).await?;
        let root = self.rooms.head(&db, room).await?.state;
        let Some(event) = self
            .rooms
            .state_event(&db, room, root, CANONICAL_ALIAS, "")
            .await?
        else {
            return Ok(());
        };
        let Some(content) = without(event.content(), alias.as_str()) else {
            return Ok(());
        };
        drop(db);
        let state = State {
            sender: user_id.to_owned(),
            kind: CANONICAL_ALIAS.to_owned(),
            state_key: String::new(),
            content,
            timestamp: None,
        };
        match self.writer.set_state(room_id, state).await {
            Ok(_) | Err(RoomError::Forbidden(_) | RoomError::NotInRoom) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The content of a canonical alias event without one alias; `None` if it does not name it.
fn without(content: &str, alias: &str) -> Option<Box<RawValue>> {
    let mut content: Map<String, Value> = serde_json::from_str(content).ok()?;
    let before = content.clone();
    if content.get("alias").and_then(Value::as_str) == Some(alias) {
        content.remove("alias");
    }
    if let Some(Value::Array(others)) = content.get_mut("alt_aliases") {
        others.retain(|other| other.as_str() != Some(alias));
        if others.is_empty() {
            content.remove("alt_aliases");
        }
    }
    if content == before {
        return None;
    }
    serde_json::value::to_raw_value(&content).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_alias_leaves_the_canonical_alias_event() {
        let text = |content| without(content, "#a:x").map(|raw| raw.get().to_owned());

        assert_eq!(text(r##"{"alias":"#a:x"}"##).as_deref(), Some("{}"));
        assert_eq!(
            text(r##"{"alias":"#b:x","alt_aliases":["#a:x","#c:x"]}"##).as_deref(),
            Some(r##"{"alias":"#b:x","alt_aliases":["#c:x"]}"##)
        );
        assert_eq!(text(r##"{"alias":"#b:x"}"##), None);
    }
}
