//! Reading a room's state: now, at a stamp, or as it was when the reader left.
//!
//! A state is a root of the persistent map; what is read of it are its events, from the cache where they are there.

use std::{collections::BTreeMap, sync::Arc};

use database::{Position, Read, RoomNumber, Snapshot, Stamp, UserNumber};
use protocol::scan;
use ruma::{OwnedRoomId, RoomId};

use crate::{
    client_json::{separate, write_stripped, write_text},
    handle::History,
    token::AnyToken,
    visibility::Standing,
};
use rooms_store::{
    Event, MEMBER_CLASS, RoomError,
    state_map::StateRoot,
    tables::{MEMBERS, Membership, OUTSIDE_MEMBERS, USER_ROOMS},
};

/// What a client wants to get of one state event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateFormat {
    Content,
    Event,
}

/// Which members a client asks for. With both set, one of them is enough.
#[derive(Clone, Debug, Default)]
pub struct MembersFilter {
    pub at: Option<AnyToken>,
    pub membership: Option<Membership>,
    pub not_membership: Option<Membership>,
}

/// The state events that say what a room is to who is not in it (client-server API, "Stripped state").
const STRIPPED: [&str; 7] = [
    "m.room.create",
    "m.room.name",
    "m.room.avatar",
    "m.room.topic",
    "m.room.join_rules",
    "m.room.canonical_alias",
    "m.room.encryption",
];

/// Rows read at once where many are walked.
const PAGE: usize = 512;
/// Members that give a room without a name its name.
const HEROES: usize = 5;
/// Members looked at for heroes.
const HERO_WALK: usize = 64;

impl History {
    /// `GET /rooms/{roomId}/state`: a JSON list.
    pub async fn state_for(
        &self,
        room_id: &RoomId,
        user: UserNumber,
    ) -> Result<Vec<u8>, RoomError> {
        let db = self.rooms.snapshot().await?;
        let (room, standing) = self.require_standing(&db, room_id, user).await?;
        let root = self.seen_root(&db, room, &standing).await?;
        let events = self.state_events(&db, room, root).await?;
        let mut out = vec![b'['];
        self.write_state(&mut out, &db, &events, Some(room_id))
            .await?;
        out.push(b']');
        Ok(out)
    }

    /// `GET /rooms/{roomId}/state/{eventType}/{stateKey}`: a JSON object; `None` if the room has no such state.
    pub async fn state_event_for(
        &self,
        room_id: &RoomId,
        user: UserNumber,
        kind: &str,
        state_key: &str,
        format: StateFormat,
    ) -> Result<Option<Vec<u8>>, RoomError> {
        let db = self.rooms.snapshot().await?;
        let (room, standing) = self.require_standing(&db, room_id, user).await?;
        let root = self.seen_root(&db, room, &standing).await?;
        let event = self
            .rooms
            .state_event(&db, room, root, kind, state_key)
            .await?;
        let Some(event) = event else { return Ok(None) };
        if format == StateFormat::Content {
            return Ok(Some(event.content().as_bytes().to_vec()));
        }
        let mut out = Vec::new();
        self.write_state(&mut out, &db, &[event], Some(room_id))
            .await?;
        Ok(Some(out))
    }

    /// `GET /rooms/{roomId}/members`: the elements of a JSON list.
    pub async fn members_for(
        &self,
        room_id: &RoomId,
        user: UserNumber,
        filter: &MembersFilter,
    ) -> Result<Vec<u8>, RoomError> {
        let db = self.rooms.snapshot().await?;
        let (room, standing) = self.require_standing(&db, room_id, user).await?;
        let end = match &standing {
            Standing::Left(departure) => Some(departure.position.0),
            Standing::Joined | Standing::Outside => None,
        };
        let at = filter
            .at
            .map(AnyToken::stamp)
            .filter(|at| end.is_none_or(|end| *at < end));
        let root = match at {
            Some(stamp) => self.state_at(&db, room, stamp).await?,
            None => self.seen_root(&db, room, &standing).await?,
        };
        let mut events = self.member_events(&db, room, root).await?;
        events.retain(|event| filter.matches(event));
        let mut out = Vec::new();
        self.write_state(&mut out, &db, &events, Some(room_id))
            .await?;
        Ok(out)
    }

    /// `GET /rooms/{roomId}/joined_members`: the members of a JSON object, user id to profile. Only for who is joined.
    pub async fn joined_members_for(
        &self,
        room_id: &RoomId,
        user: UserNumber,
    ) -> Result<Vec<u8>, RoomError> {
        let db = self.rooms.snapshot().await?;
        let (room, standing) = self.require_standing(&db, room_id, user).await?;
        let Standing::Joined = standing else {
            return Err(RoomError::NotInRoom);
        };
        let root = self.rooms.head(&db, room).await?.state;
        let mut out = Vec::new();
        for event in self.member_events(&db, room, root).await? {
            if event.membership == Some(Membership::Join) {
                separate(&mut out, 0);
                write_text(&mut out, event.state_key.as_deref().unwrap_or_default());
                out.extend_from_slice(br#":{"display_name":"#);
                write_string_member(&mut out, &event, "displayname");
                out.extend_from_slice(br#","avatar_url":"#);
                write_string_member(&mut out, &event, "avatar_url");
                out.push(b'}');
            }
        }
        Ok(out)
    }

    /// The rooms that a user has joined.
    pub async fn joined_rooms(
        &self,
        db: &impl Read,
        user: UserNumber,
    ) -> Result<Vec<OwnedRoomId>, RoomError> {
        let mut joined = Vec::new();
        let mut rows = USER_ROOMS.under(user);
        loop {
            let page = db.page(rows, PAGE).await?;
            for ((_, room), row) in &page {
                if row.value.membership == Membership::Join {
                    joined.push(self.rooms.room_id(db, *room).await?);
                }
            }
            match page.last() {
                Some(((_, last), _)) if page.len() == PAGE => {
                    rows = USER_ROOMS.under(user).after((user, *last));
                }
                _ => return Ok(joined),
            }
        }
    }

    /// A room's state when everything up to this stamp had happened.
    pub async fn state_at(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        stamp: Stamp,
    ) -> Result<StateRoot, RoomError> {
        self.state_after(db, room, Position::last_of(stamp)).await
    }

    /// A room's state when everything up to this position had happened.
    pub async fn state_after(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        position: Position,
    ) -> Result<StateRoot, RoomError> {
        self.rooms.state_at(db, room, position).await
    }

    /// All events of a state.
    pub async fn state_events(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        root: StateRoot,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let entries = self.rooms.states().list(db, room, root).await?;
        let events: Vec<_> = entries.into_iter().map(|(_, event)| event).collect();
        self.rooms.readable_events(db, room, &events).await
    }

    /// The membership events of a state.
    pub async fn member_events(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        root: StateRoot,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let entries = self
            .rooms
            .states()
            .list_class(db, room, root, MEMBER_CLASS)
            .await?;
        let events: Vec<_> = entries.into_iter().map(|(_, event)| event).collect();
        self.rooms.readable_events(db, room, &events).await
    }

    /// What a user who is invited, or knocks, is shown of the room: a JSON list. The state is that before their own member
    /// event, so that nothing is told that happened later; the event itself is the last. Who invites is shown too: a room
    /// without a name is called after them.
    pub async fn stripped_state(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        user: UserNumber,
    ) -> Result<Vec<u8>, RoomError> {
        let mut out = vec![b'['];
        let own = self.rooms.user_room(db, user, room).await?;
        if let Some(number) = own.and_then(|own| own.event) {
            let own = self.rooms.named_event(db, room, number).await?;
            if let Some(outside) = db.get(OUTSIDE_MEMBERS.at((room, user))).await? {
                for event in &outside.stripped {
                    separate(&mut out, 1);
                    out.extend_from_slice(event.as_bytes());
                }
                separate(&mut out, 1);
                write_stripped(&mut out, &own);
                out.push(b']');
                return Ok(out);
            }
            let before = match own.state_before() {
                Some(before) => before,
                None => self.rooms.head(db, room).await?.state,
            };
            let inviter =
                (own.sender_number != user).then_some(("m.room.member", own.sender.as_str()));
            for (kind, state_key) in STRIPPED.map(|kind| (kind, "")).into_iter().chain(inviter) {
                if let Some(event) = self
                    .rooms
                    .state_event(db, room, before, kind, state_key)
                    .await?
                {
                    separate(&mut out, 1);
                    write_stripped(&mut out, &event);
                }
            }
            separate(&mut out, 1);
            write_stripped(&mut out, &own);
        }
        out.push(b']');
        Ok(out)
    }

    /// The events of a state that say what the room is to who is not in it.
    pub async fn outside_state(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        root: StateRoot,
    ) -> Result<Vec<Arc<Event>>, RoomError> {
        let mut events = Vec::with_capacity(STRIPPED.len());
        for kind in STRIPPED {
            let event = self.rooms.state_event(db, room, root, kind, "");
            events.extend(event.await?);
        }
        Ok(events)
    }

    /// The members that name a room which has no name: others who joined or are invited, or if there is nobody, who were
    /// there. Looks at a bounded number of members.
    pub async fn heroes(
        &self,
        db: &impl Read,
        room: RoomNumber,
        user: UserNumber,
    ) -> Result<Vec<UserNumber>, RoomError> {
        let rows = db.page(MEMBERS.under(room), HERO_WALK).await?;
        let mut by_rank: BTreeMap<bool, Vec<(Position, UserNumber)>> = BTreeMap::new();
        for ((_, other), row) in rows {
            let has_gone = match row.value.membership {
                Membership::Join | Membership::Invite => false,
                Membership::Leave | Membership::Ban => true,
                Membership::Knock => continue,
            };
            if other != user {
                by_rank
                    .entry(has_gone)
                    .or_default()
                    .push((row.position, other));
            }
        }
        let mut heroes = by_rank.into_values().next().unwrap_or_default();
        // In stream order.
        heroes.sort_unstable();
        heroes.truncate(HEROES);
        Ok(heroes.into_iter().map(|(_, user)| user).collect())
    }

    /// The state that a reader gets: that of now, or as it was when they left.
    async fn seen_root(
        &self,
        db: &Snapshot,
        room: RoomNumber,
        standing: &Standing,
    ) -> Result<StateRoot, RoomError> {
        match standing {
            Standing::Joined | Standing::Outside => Ok(self.rooms.head(db, room).await?.state),
            Standing::Left(departure) => Ok(departure.state),
        }
    }
}

impl MembersFilter {
    fn matches(&self, event: &Event) -> bool {
        let membership = event.membership;
        match (self.membership, self.not_membership) {
            (None, None) => true,
            (Some(wanted), None) => membership == Some(wanted),
            (None, Some(unwanted)) => membership != Some(unwanted),
            (Some(wanted), Some(unwanted)) => {
                membership == Some(wanted) || membership != Some(unwanted)
            }
        }
    }
}

/// A member of the content, as it is written there, or `null`.
fn write_string_member(out: &mut Vec<u8>, event: &Event, name: &str) {
    let value = scan::member(event.content(), name).filter(|value| value.starts_with('"'));
    out.extend_from_slice(value.unwrap_or("null").as_bytes());
}
