//! What follows from a change of a room's current state: member rows, counts, open rooms. It follows the difference of the
//! old and the new state, never the event that happened to arrive.

use database::{
    Placed, Read, RoomNumber, Slot, Txn, UserNumber,
    server_log::{self, Concern},
};
use protocol::scan;
use rooms_store::{
    Membership, Residency, RoomError, RoomHead, member_of,
    state_map::{Change, EventNumber, StateKeyNumber},
    tables::{
        EVENTS, LOCAL_MEMBERS, MEMBER_HISTORY, MEMBERS, Member, MemberChange, ROOM_SERVERS,
        SERVER_ROOMS, SERVER_USERS, STATE_KEY_NAMES, ServerInRoom, USER_ROOMS, UserRoom,
    },
};

use crate::{build::member_word, handle::RoomWriter, open_rooms, turn::Pending};

/// The change that a state event in force makes at its own key.
pub(crate) fn own_change(
    key: StateKeyNumber,
    before: Option<EventNumber>,
    event: EventNumber,
) -> Change {
    Change {
        key,
        before,
        after: Some(event),
    }
}

/// Where derived rows are written.
pub(crate) struct Derived<'a> {
    pub(crate) writer: &'a RoomWriter,
    pub(crate) txn: &'a Txn,
    pub(crate) room: RoomNumber,
}

impl Derived<'_> {
    /// Applies one change of the current state at the log entry of `slot`. `event` is the new event, where it is the one of
    /// this commit: it is not stored yet.
    pub(crate) async fn apply(
        &self,
        head: &mut RoomHead,
        change: Change,
        slot: Slot,
        event: Option<&Pending>,
    ) -> Result<(), RoomError> {
        if let Some(user) = member_of(change.key) {
            return self.member(head, user, change, slot, event).await;
        }
        let (kind, json) = if let Some(event) = event {
            (event.kind.clone(), Some(event.json.clone()))
        } else {
            let name = self.txn.get(STATE_KEY_NAMES.at(change.key)).await?;
            let kind = name.as_deref().and_then(kind_of_pair).unwrap_or_default();
            let json = match change.after {
                Some(number) => Some(self.json(number).await?),
                None => None,
            };
            (kind.to_owned(), json)
        };
        let state_key = match event {
            Some(event) => event.state_key.clone().unwrap_or_default(),
            None => String::new(),
        };
        let json = json.as_deref().unwrap_or("{}");
        open_rooms::note_openness(self.txn, self.room, &kind, &state_key, json).await?;
        Ok(())
    }

    async fn json(&self, number: EventNumber) -> Result<String, RoomError> {
        let row = self.txn.get(EVENTS.at((self.room, number))).await?;
        Ok(row.ok_or(RoomError::Damaged)?.value.json)
    }

    /// The member event at the change's end, and its sender.
    async fn after(
        &self,
        change: Change,
        event: Option<&Pending>,
    ) -> Result<Option<(Membership, UserNumber)>, RoomError> {
        if let Some(event) = event {
            let users = self.writer.rooms.users();
            let by = users.intern(self.txn, event.sender.as_str()).await?;
            return Ok(event.membership.map(|membership| (membership, by)));
        }
        let Some(number) = change.after else {
            return Ok(None);
        };
        let row = self.txn.get(EVENTS.at((self.room, number))).await?;
        let stored = row.ok_or(RoomError::Damaged)?.value;
        let content = scan::member(&stored.json, "content").unwrap_or_default();
        let membership = member_word("m.room.member", content);
        Ok(membership.map(|membership| (membership, stored.sender)))
    }

    /// Writes the rows of one member. A change within one membership (a new display name) keeps the position of the last real
    /// change.
    async fn member(
        &self,
        head: &mut RoomHead,
        user: UserNumber,
        change: Change,
        slot: Slot,
        event: Option<&Pending>,
    ) -> Result<(), RoomError> {
        let Self { txn, room, .. } = *self;
        let old = txn.get(MEMBERS.at((room, user))).await?;
        let before = old.as_ref().map(|row| row.value.membership);
        let after = self.after(change, event).await?;
        let Some(number) = change.after.filter(|_| after.is_some()) else {
            txn.delete(MEMBERS.at((room, user)));
            count(head, before, None);
            self.server(user, before, None).await?;
            return self
                .moved(head, user, Membership::Leave, None, user, slot)
                .await;
        };
        let (membership, by) = after.unwrap_or((Membership::Leave, user));
        let member = Member {
            membership,
            event: number,
        };
        if before == Some(membership)
            && let Some(Placed { position, .. }) = old
        {
            let value = member;
            txn.put(MEMBERS.at((room, user)), &Placed { value, position });
            let own = txn.get(USER_ROOMS.at((user, room))).await?;
            if let Some(Placed { value, position }) = own {
                let by = match membership {
                    Membership::Join => value.by,
                    _ => by,
                };
                let value = UserRoom {
                    event: Some(number),
                    by,
                    ..value
                };
                txn.put(USER_ROOMS.at((user, room)), &Placed { value, position });
            }
            return Ok(());
        }
        txn.put_placed(MEMBERS.at((room, user)), &member, slot);
        count(head, before, Some(membership));
        self.server(user, before, Some(membership)).await?;
        self.moved(head, user, membership, Some(number), by, slot)
            .await
    }

    /// Writes what concerns the user alone: their list of rooms, their history, whether they are a local member.
    pub(crate) async fn moved(
        &self,
        head: &mut RoomHead,
        user: UserNumber,
        membership: Membership,
        event: Option<EventNumber>,
        by: UserNumber,
        slot: Slot,
    ) -> Result<(), RoomError> {
        let Self { txn, room, .. } = *self;
        let change = MemberChange { membership, event };
        txn.append(MEMBER_HISTORY.end((room, user)), slot, &change);
        let user_room = UserRoom {
            membership,
            event,
            by,
            forgotten: false,
        };
        txn.put_placed(USER_ROOMS.at((user, room)), &user_room, slot);
        if self.is_local(user).await? {
            if membership == Membership::Join {
                txn.put(LOCAL_MEMBERS.at((room, user)), &());
                head.residency = Residency::Resident;
            } else {
                txn.delete(LOCAL_MEMBERS.at((room, user)));
                let left = txn.page(LOCAL_MEMBERS.under(room), 1).await?;
                if left.is_empty() && head.residency == Residency::Resident {
                    head.residency = Residency::Left;
                }
            }
        }
        server_log::tell(txn, slot, Concern::User(user));
        Ok(())
    }

    /// Writes which servers are in the room.
    async fn server(
        &self,
        user: UserNumber,
        before: Option<Membership>,
        after: Option<Membership>,
    ) -> Result<(), RoomError> {
        let Self { txn, room, .. } = *self;
        let Some(id) = self.writer.rooms.users().user_id(txn, user).await? else {
            return Ok(());
        };
        let server = id.server_name().as_str();
        if before.is_none() && server != self.writer.rooms.server_name() {
            txn.put(SERVER_USERS.at((room, server, user)), &());
        }
        let is_join = |membership: Option<Membership>| membership == Some(Membership::Join);
        if is_join(before) == is_join(after) {
            return Ok(());
        }
        let key = ROOM_SERVERS.at((room, server));
        let joined = txn.get(key.clone()).await?.unwrap_or_default().joined;
        let joined = match is_join(after) {
            true => joined.saturating_add(1),
            false => joined.saturating_sub(1),
        };
        if joined == 0 {
            txn.delete(key);
            txn.delete(SERVER_ROOMS.at((server, room)));
        } else {
            txn.put(key, &ServerInRoom { joined });
            txn.put(SERVER_ROOMS.at((server, room)), &());
        }
        Ok(())
    }

    async fn is_local(&self, user: UserNumber) -> Result<bool, RoomError> {
        let rooms = &self.writer.rooms;
        let id = rooms.users().user_id(self.txn, user).await?;
        Ok(id.is_some_and(|id| id.server_name() == rooms.server_name()))
    }
}

fn count(head: &mut RoomHead, before: Option<Membership>, after: Option<Membership>) {
    match before {
        Some(Membership::Join) => head.joined = head.joined.saturating_sub(1),
        Some(Membership::Invite) => head.invited = head.invited.saturating_sub(1),
        Some(Membership::Knock | Membership::Leave | Membership::Ban) | None => {}
    }
    match after {
        Some(Membership::Join) => head.joined += 1,
        Some(Membership::Invite) => head.invited += 1,
        Some(Membership::Knock | Membership::Leave | Membership::Ban) | None => {}
    }
}

/// The type in an interned (type, state key) pair whose state key is empty.
fn kind_of_pair(pair: &str) -> Option<&str> {
    let (length, rest) = pair.split_once(':')?;
    let length: usize = length.parse().ok()?;
    (rest.len() == length).then_some(rest)
}
