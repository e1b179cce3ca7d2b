//! Templates of membership events, for users of other servers: this server says where in the graph the event stands, the other one
//! signs it.

use database::Snapshot;
use protocol::{
    authorize::{self, AuthEvent},
    content::Content,
    event::{Depth, Draft, MAX_PREVIOUS_EVENTS},
    hash,
};
use rooms_store::{Membership, RoomError};
use ruma::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedUserId, RoomId, RoomVersionId,
    ServerName, UInt, UserId,
    events::{StateEventType, TimelineEventType},
};
use serde_json::{Map, Value, json};

use super::handshake::{Handshake, HandshakeError, ResidentRoom};
use crate::handle::RemoteRooms;

/// The answer to `make_join`, `make_leave` and `make_knock`.
#[derive(Clone, Debug)]
pub struct Template {
    pub version: String,
    pub event: Value,
}

impl RemoteRooms {
    /// The membership event that a user of another server may send. `versions` are those that the other server knows.
    pub async fn template_for(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        user: &UserId,
        handshake: Handshake,
        versions: Option<&[RoomVersionId]>,
    ) -> Result<Template, HandshakeError> {
        if user.server_name() != server {
            let reason = "the user is not of your server";
            return Err(RoomError::Forbidden(reason.to_owned()).into());
        }
        let db = self.rooms().snapshot().await?;
        let room = self.resident_room(&db, room_id, server).await?;
        let version = room.head.version.clone();
        if versions.is_some_and(|known| !known.iter().any(|known| known.as_str() == version)) {
            return Err(HandshakeError::IncompatibleVersion(version));
        }
        let authorized_by = match handshake {
            Handshake::Join => self.authorizing_user(&db, &room, user).await?,
            Handshake::Leave => {
                self.require_inside(&db, &room, user).await?;
                None
            }
            Handshake::Knock => None,
        };
        let draft = self.draft(&room, room_id, user, handshake, authorized_by)?;
        let draft = self.authorized(&db, &room, draft).await?;
        let event = self.written(&db, &room, &draft).await?;
        Ok(Template { version, event })
    }

    async fn require_inside(
        &self,
        db: &Snapshot,
        room: &ResidentRoom,
        user: &UserId,
    ) -> Result<(), RoomError> {
        match self.membership_in(db, room, user).await? {
            Some(Membership::Join | Membership::Invite | Membership::Knock) => Ok(()),
            Some(Membership::Leave | Membership::Ban) | None => Err(RoomError::Forbidden(
                "the user is not in the room".to_owned(),
            )),
        }
    }

    /// The event on the room's extremities: all, or the deepest where there are too many.
    fn draft(
        &self,
        room: &ResidentRoom,
        room_id: &RoomId,
        user: &UserId,
        handshake: Handshake,
        authorized_by: Option<OwnedUserId>,
    ) -> Result<Draft, RoomError> {
        let mut ends = room.head.extremities.clone();
        ends.sort_by(|left, right| {
            (right.depth, &right.event_id).cmp(&(left.depth, &left.event_id))
        });
        ends.truncate(MAX_PREVIOUS_EVENTS);
        let mut content = Map::new();
        content.insert("membership".to_owned(), handshake.word().into());
        if let Some(user) = authorized_by {
            let name = "join_authorised_via_users_server";
            content.insert(name.to_owned(), user.as_str().into());
        }
        let now = self.0.needs.clock.now();
        Ok(Draft {
            rules: room.rules,
            room_id: Some(room_id.to_owned()),
            sender: user.to_owned(),
            kind: TimelineEventType::RoomMember,
            state_key: Some(user.to_string()),
            content: Content::of(&content)?,
            auth_events: Vec::new(),
            prev_events: ends
                .iter()
                .filter_map(|end| EventId::parse(&end.event_id).ok())
                .collect(),
            depth: Depth::after(ends.iter().map(|end| Depth(end.depth))),
            origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(now.0)),
            redacts: None,
            old_format: None,
        })
    }

    /// The event with its auth events, if the current state allows it.
    async fn authorized(
        &self,
        db: &Snapshot,
        room: &ResidentRoom,
        mut draft: Draft,
    ) -> Result<Draft, RoomError> {
        let mut keys = authorize::auth_types(room.rules, &draft)?;
        let named = keys.len();
        keys.push((StateEventType::RoomCreate, String::new()));
        let mut state = Vec::with_capacity(keys.len());
        for (at, (kind, state_key)) in keys.into_iter().enumerate() {
            let (root, name) = (room.head.state, kind.to_string());
            let event = self
                .rooms()
                .state_event(db, room.room, root, &name, &state_key);
            let Some(event) = event.await? else { continue };
            if at < named {
                draft.auth_events.push(event.id.clone());
            }
            let event = AuthEvent::parse(event.id.clone(), event.json());
            state.push((kind, state_key, event.map_err(|_| RoomError::Damaged)?));
        }
        authorize::authorize(room.rules, &draft, |kind, state_key| {
            let found = state.iter().find(|(k, s, _)| k == kind && s == state_key);
            found.map(|(_, _, event)| event.clone())
        })?;
        Ok(draft)
    }

    async fn written(
        &self,
        db: &Snapshot,
        room: &ResidentRoom,
        draft: &Draft,
    ) -> Result<Value, RoomError> {
        Ok(json!({
            "type": draft.kind.to_string(),
            "room_id": draft.room_id,
            "sender": draft.sender,
            "state_key": draft.state_key,
            "content": serde_json::from_str::<Value>(draft.content.as_str())
                .map_err(|_| RoomError::Damaged)?,
            "depth": draft.depth,
            "prev_events": self.references(db, room, &draft.prev_events).await?,
            "auth_events": self.references(db, room, &draft.auth_events).await?,
            "origin": self.rooms().server_name(),
            "origin_server_ts": draft.origin_server_ts,
        }))
    }

    /// How an event names others: with their hashes in room versions 1 and 2.
    async fn references(
        &self,
        db: &Snapshot,
        room: &ResidentRoom,
        ids: &[OwnedEventId],
    ) -> Result<Vec<Value>, RoomError> {
        let mut references = Vec::with_capacity(ids.len());
        for id in ids {
            if !room.rules.event_format.require_event_id {
                references.push(json!(id));
                continue;
            }
            let event = self.rooms().event_by_id(db, room.room, id).await?;
            let event = event.ok_or(RoomError::Damaged)?;
            let hash = hash::reference_hash(room.rules, event.json());
            let hash = hash::encoded(&hash.map_err(|_| RoomError::Damaged)?);
            references.push(json!([id, { "sha256": hash }]));
        }
        Ok(references)
    }
}
