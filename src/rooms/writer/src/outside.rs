//! Rooms that no local user is in: invites and knocks, which are all that is known of them, and the events by which local users
//! ask another server to let them in or out (server-server API, "Joining Rooms", "Leaving Rooms", "Knocking upon a room").
//!
//! Of what another server proposes, such an event has the previous events, the auth events, the depth and the room version. All
//! else is decided here.

use database::{
    Read, RoomNumber, Slot, Txn, UserNumber,
    server_log::{self, Concern},
};
use protocol::{
    content::Content,
    event::{Depth, Draft, OldFormat, SignedPdu},
    room_version,
};
use rooms_store::{
    Membership, Place, Residency, RoomError, Verdict,
    state_map::{EventNumber, StateRoot},
    tables::{
        EVENT_NUMBERS, EVENTS, MEMBER_HISTORY, MEMBERS, MemberChange, OUTSIDE_MEMBERS,
        OutsideMember, ROOM_HEADS, RoomHead, StoredEvent, USER_ROOMS, UserRoom,
    },
};
use ruma::{
    MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId, UInt,
    UserId, events::TimelineEventType, room_version_rules::RoomVersionRules,
};
use serde_json::{Map, Value};

use crate::{build::member_word, derive::Derived, handle::RoomWriter, received::ReceivedPdu};

/// Users with an invite or a knock whose rows are settled at once when the room is joined.
const PAGE: usize = 256;

/// What a local user asks of a room that this server does not take part in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutsideChange {
    Join {
        /// The member of a restricted room in whose name the other server lets the user in. That server signs too.
        authorised_via: Option<OwnedUserId>,
    },
    Leave,
    Knock,
}

/// Where another server puts a membership event.
#[derive(Clone, Debug)]
pub struct OutsidePlace {
    pub room_id: OwnedRoomId,
    pub rules: &'static RoomVersionRules,
    pub auth_events: Vec<OwnedEventId>,
    pub prev_events: Vec<OwnedEventId>,
    pub depth: u64,
    /// In room versions 1 and 2.
    pub hashes: Option<ReferenceHashes>,
}

/// Reference hashes of the events that an event names, in their order.
#[derive(Clone, Debug)]
pub struct ReferenceHashes {
    pub auth: Vec<[u8; 32]>,
    pub prev: Vec<[u8; 32]>,
}

/// An invite, a knock or a leave in a room that this server does not take part in.
#[derive(Clone, Debug)]
pub struct OutsideNote {
    pub room_id: OwnedRoomId,
    pub version: RoomVersionId,
    /// A member event of a local user. Its auth events need not be held.
    pub event: ReceivedPdu,
    /// Stripped state, each event in JSON, of bounded size.
    pub stripped: Vec<String>,
}

/// What became of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    Written,
    /// A local user is in the room: the event comes as part of the room.
    IsResident,
}

impl RoomWriter {
    /// Builds and signs the membership event of a local user in a room that this server does not take part in.
    pub async fn sign_outside(
        &self,
        user: &UserId,
        change: &OutsideChange,
        mut content: Map<String, Value>,
        place: OutsidePlace,
    ) -> Result<SignedPdu, RoomError> {
        let word = match change {
            OutsideChange::Join { .. } => "join",
            OutsideChange::Leave => "leave",
            OutsideChange::Knock => "knock",
        };
        content.remove("join_authorised_via_users_server");
        match change {
            OutsideChange::Join { authorised_via } => {
                content.extend(self.member_content(user, word).await?);
                if let Some(via) = authorised_via {
                    let via = via.as_str().into();
                    content.insert("join_authorised_via_users_server".to_owned(), via);
                }
            }
            OutsideChange::Knock => content.extend(self.member_content(user, word).await?),
            OutsideChange::Leave => {}
        }
        content.insert("membership".to_owned(), word.into());
        let old_format = match place.hashes {
            Some(ReferenceHashes { auth, prev }) => Some(Box::new(OldFormat {
                event_id: self.new_event_id()?,
                auth_hashes: auth,
                prev_hashes: prev,
            })),
            None => None,
        };
        let draft = Draft {
            rules: place.rules,
            room_id: Some(place.room_id),
            sender: user.to_owned(),
            kind: TimelineEventType::RoomMember,
            state_key: Some(user.to_string()),
            content: Content::of(&content)?,
            depth: Depth(place.depth).min(Depth::greatest(place.rules)),
            auth_events: place.auth_events,
            prev_events: place.prev_events,
            origin_server_ts: MilliSecondsSinceUnixEpoch(UInt::new_saturating(
                self.shared.clock.now().0,
            )),
            redacts: None,
            old_format,
        };
        Ok(draft.sign(&*self.shared.keys.current())?)
    }

    /// An event id as room versions 1 and 2 have it.
    pub(crate) fn new_event_id(&self) -> Result<OwnedEventId, RoomError> {
        let name = self.rooms.server_name();
        let id = format!("${}:{name}", self.shared.random.token(18));
        OwnedEventId::try_from(id).map_err(|_| RoomError::Damaged)
    }

    /// Stores that a local user is invited to a room, knocks, or has left, while no local user is in the room.
    pub async fn note_outside(&self, note: &OutsideNote) -> Result<Noted, RoomError> {
        let pdu = &note.event;
        let kind = pdu.auth.kind().to_string();
        let membership = member_word(&kind, pdu.auth.content());
        let membership = membership.filter(|word| *word != Membership::Join);
        let user = pdu.auth.state_key().and_then(|key| UserId::parse(key).ok());
        let user = user.filter(|user| user.server_name() == self.rooms.server_name());
        let (Some(membership), Some(user)) = (membership, user) else {
            return Err(RoomError::BadContent(
                "no membership of a local user".to_owned(),
            ));
        };
        if room_version::rules(&note.version).is_none() {
            return Err(RoomError::UnsupportedVersion(note.version.to_string()));
        }
        let number = self.rooms.numbers().next_event().await?;
        let (user, store) = (&user, self.rooms.store());
        let written = store.transact::<_, RoomError, _>(|txn| async move {
            let numbers = self.rooms.numbers();
            let room = numbers.intern_room(&txn, note.room_id.as_str()).await?;
            let Some(head) = outside_head(&txn, room, &note.version).await? else {
                return Ok(Noted::IsResident);
            };
            txn.put(ROOM_HEADS.at(room), &head);
            let users = self.rooms.users();
            let by = users.intern(&txn, pdu.sender().as_str()).await?;
            let number = outlier(&txn, room, pdu, by, number).await?;
            let user = users.intern(&txn, user.as_str()).await?;
            let slot = txn.slot();
            let row = UserRoom {
                membership,
                event: Some(number),
                by,
                forgotten: false,
            };
            txn.put_placed(USER_ROOMS.at((user, room)), &row, slot);
            let change = MemberChange {
                membership,
                event: Some(number),
            };
            txn.append(MEMBER_HISTORY.end((room, user)), slot, &change);
            let outside = OutsideMember {
                stripped: match membership {
                    Membership::Invite | Membership::Knock => note.stripped.clone(),
                    _ => Vec::new(),
                },
            };
            txn.put(OUTSIDE_MEMBERS.at((room, user)), &outside);
            server_log::tell(&txn, slot, Concern::User(user));
            Ok(Noted::Written)
        });
        let (noted, _) = written.await?;
        Ok(noted)
    }
}

/// Stores an event as an outlier whose auth events are not known, unless it is held. Returns its number.
async fn outlier(
    txn: &Txn,
    room: RoomNumber,
    pdu: &ReceivedPdu,
    sender: UserNumber,
    number: EventNumber,
) -> Result<EventNumber, RoomError> {
    let row = EVENT_NUMBERS.at((room, pdu.event_id.as_str()));
    if let Some(held) = txn.get(row.clone()).await? {
        return Ok(held);
    }
    let stored = StoredEvent {
        verdict: Verdict::Unchecked,
        place: Place::Outlier,
        event_id: pdu.event_id.to_string(),
        sender,
        replaces: None,
        redacted_because: None,
        thread: None,
        transaction: None,
        json: pdu.json.clone(),
    };
    txn.put_placed(EVENTS.at((room, number)), &stored, txn.slot());
    txn.put(row, &number);
    Ok(number)
}

/// The head of a room that no local user is in, with its next revision; `None` where one is.
async fn outside_head(
    txn: &Txn,
    room: RoomNumber,
    version: &RoomVersionId,
) -> Result<Option<RoomHead>, RoomError> {
    let head = match txn.get(ROOM_HEADS.at(room)).await? {
        Some(head) if head.residency == Residency::Resident => return Ok(None),
        Some(head) => RoomHead {
            revision: head.revision + 1,
            ..head
        },
        None => new_head(version, Residency::Invited),
    };
    Ok(Some(head))
}

/// The head of a room of which no event is placed.
pub(crate) fn new_head(version: &RoomVersionId, residency: Residency) -> RoomHead {
    RoomHead {
        version: version.to_string(),
        revision: 0,
        residency,
        extremities: Vec::new(),
        state: StateRoot::EMPTY,
        joined: 0,
        invited: 0,
    }
}

impl Derived<'_> {
    /// Part of the commit by which this server enters a room: what was noted while it was outside yields to the room's own state.
    pub(crate) async fn settle_outside(
        &self,
        head: &mut RoomHead,
        slot: Slot,
    ) -> Result<(), RoomError> {
        let Self { txn, room, .. } = *self;
        loop {
            let page = txn.page(OUTSIDE_MEMBERS.under(room), PAGE).await?;
            for ((_, user), _) in &page {
                txn.delete(OUTSIDE_MEMBERS.at((room, *user)));
                let own = txn.get(USER_ROOMS.at((*user, room))).await?;
                let member = txn.get(MEMBERS.at((room, *user))).await?;
                let membership = member.as_ref().map(|row| row.value.membership);
                let membership = membership.unwrap_or(Membership::Leave);
                if own.is_none_or(|own| own.value.membership == membership) {
                    continue;
                }
                let event = member.map(|row| row.value.event);
                let by = match event {
                    Some(event) => txn.get(EVENTS.at((room, event))).await?,
                    None => None,
                };
                let by = by.map_or(*user, |row| row.value.sender);
                self.moved(head, *user, membership, event, by, slot).await?;
            }
            if page.len() < PAGE {
                return Ok(());
            }
        }
    }
}
