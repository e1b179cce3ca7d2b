//! What a user was notified of, newest first (client-server API, "Listing Notifications").
//!
//! Nothing is stored for it: the logs of the user's rooms are walked backwards, all at once, and each event is asked the same as for
//! the counts. An answer looks at a bounded number of events; what it did not come to is behind its token.

use std::{
    collections::{BTreeMap, BinaryHeap, VecDeque},
    io::Write as _,
};

use database::{Position, Read, RoomNumber, Snapshot, StoreError, UserNumber};
use protocol::push::Outcome;
use rooms_history::{PaginationToken, Viewer, client_json::write_text};
use rooms_store::{
    Event, RoomError,
    state_map::EventNumber,
    tables::{MEMBER_HISTORY, Membership, ROOM_LOG, USER_ROOMS, UserRoom},
};
use ruma::{OwnedDeviceId, OwnedRoomId, OwnedUserId};

use crate::{
    checkpoint::State,
    push::{Parts, Push},
    reader::Reader,
};

/// Events that one answer looks at, in all rooms.
const MOST: usize = 5_000;
/// Entries read at once of one room.
const PAGE: usize = 16;
/// Rooms read at once.
const ROOMS: usize = 256;

#[derive(Clone, Debug)]
pub struct NotificationsRequest {
    pub user: UserNumber,
    pub user_id: OwnedUserId,
    /// The asking one, which is told its transaction ids.
    pub device: OwnedDeviceId,
    pub from: Option<PaginationToken>,
    /// Notifications wanted.
    pub limit: usize,
    pub wanted: Wanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    All,
    Highlights,
}

#[derive(Debug, thiserror::Error)]
pub enum NotificationsError {
    #[error(transparent)]
    Room(#[from] RoomError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A part of a room's log that the user has lived through.
#[derive(Clone, Copy, Debug)]
struct Stay {
    room: RoomNumber,
    after: Position,
    through: Position,
}

/// A stay, walked backwards.
struct Walk {
    stay: Stay,
    /// Newest first.
    entries: VecDeque<(Position, EventNumber)>,
}

/// What is looked up once for each room of which something is told.
struct Room {
    id: OwnedRoomId,
    /// How far it is read.
    read: State,
    viewer: Viewer,
}

struct Listing<'a> {
    parts: &'a Parts,
    db: &'a Snapshot,
    reader: &'a Reader,
    request: &'a NotificationsRequest,
    rooms: BTreeMap<RoomNumber, Room>,
    out: Vec<u8>,
    found: usize,
}

impl Push {
    /// The body of the answer to `GET /notifications`.
    pub async fn notifications(
        &self,
        request: NotificationsRequest,
    ) -> Result<Vec<u8>, NotificationsError> {
        let parts = &*self.0;
        let db = &parts.rooms.snapshot().await?;
        let users = parts.rooms.users();
        let ignored = users.ignored(db, request.user).await?;
        let (user, user_id) = (request.user, request.user_id.clone());
        let reader = self.reader(db, user, user_id, ignored, |_| false).await?;
        let end = Position::last_of(db.stamp());
        let store = parts.rooms.store();
        let from = request
            .from
            .map(|token| store.clamp_position(token.position));
        let mut walks = walks(db, user, from.unwrap_or(end)).await?;
        let mut newest: BinaryHeap<(Position, usize)> = BinaryHeap::new();
        for (at, walk) in walks.iter_mut().enumerate() {
            newest.extend(walk.newest(db).await?.map(|position| (position, at)));
        }
        let mut listing = Listing {
            parts,
            db,
            reader: &reader,
            request: &request,
            rooms: BTreeMap::new(),
            out: br#"{"notifications":["#.to_vec(),
            found: 0,
        };
        let mut next = None;
        let mut looked_at = 0;
        while let Some((position, at)) = newest.pop() {
            if listing.found == request.limit || looked_at == MOST {
                next = Some(PaginationToken::after(position, db.stamp()));
                break;
            }
            looked_at += 1;
            let walk = &mut walks[at];
            if let Some((_, number)) = walk.entries.pop_front() {
                listing.look_at(walk.stay.room, number).await?;
            }
            newest.extend(walk.newest(db).await?.map(|position| (position, at)));
        }
        let mut out = listing.out;
        out.push(b']');
        if let Some(next) = next {
            out.extend_from_slice(br#","next_token":"#);
            write_text(&mut out, &next.to_string());
        }
        out.push(b'}');
        Ok(out)
    }
}

impl Walk {
    /// Where the next event is, reading on if none is held.
    async fn newest(&mut self, db: &Snapshot) -> Result<Option<Position>, StoreError> {
        while self.entries.is_empty() {
            let Stay {
                room,
                after,
                through,
            } = self.stay;
            let rows = ROOM_LOG
                .under(room)
                .after((room, after))
                .through((room, through));
            let page = db.page(rows.reversed(), PAGE).await?;
            let Some(((_, oldest), _)) = page.last() else {
                break;
            };
            self.stay.through = oldest.previous();
            let events = page
                .into_iter()
                .filter_map(|((_, at), entry)| Some((at, entry.event?)));
            self.entries = events.collect();
        }
        Ok(self.entries.front().map(|(at, _)| *at))
    }
}

impl Listing<'_> {
    async fn look_at(&mut self, room: RoomNumber, number: EventNumber) -> Result<(), RoomError> {
        let (parts, db) = (self.parts, self.db);
        let event = parts.rooms.named_event(db, room, number).await?;
        if self.reader.is_deaf_to(&event) {
            return Ok(());
        }
        let room_id = parts.rooms.room_id(db, room).await?;
        let meaning = parts.meaning(db, &event, &room_id).await?;
        let outcome = parts
            .outcome(db, self.reader, &event, &room_id, &meaning)
            .await?;
        let is_wanted = |outcome: &&Outcome| match self.request.wanted {
            Wanted::All => outcome.verdict.notify,
            Wanted::Highlights => outcome.verdict.highlight,
        };
        let Some(outcome) = outcome.filter(is_wanted) else {
            return Ok(());
        };
        if !self.rooms.contains_key(&room) {
            let found = self.room(room, room_id).await?;
            self.rooms.insert(room, found);
        }
        self.write(&event, &meaning.thread, outcome).await
    }

    async fn room(&self, room: RoomNumber, id: OwnedRoomId) -> Result<Room, RoomError> {
        let user = self.reader.user;
        let mut read = State::at_join(Position::MIN);
        for (thread, position) in self.parts.receipts_on_disk(self.db, room, user).await? {
            read.read_to(&thread, position);
        }
        let viewer = self.parts.history.viewer(self.db, room, user).await?;
        Ok(Room { id, read, viewer })
    }

    async fn write(
        &mut self,
        event: &std::sync::Arc<Event>,
        thread: &str,
        outcome: &Outcome,
    ) -> Result<(), RoomError> {
        let Some(room) = self.rooms.get_mut(&event.room) else {
            return Ok(());
        };
        let out = &mut self.out;
        if self.found > 0 {
            out.push(b',');
        }
        self.found += 1;
        let is_read = event.position <= room.read.read_of(thread);
        // A vector takes everything.
        out.extend_from_slice(br#"{"actions":"#);
        let _ = serde_json::to_writer(&mut *out, &outcome.actions);
        let _ = write!(
            out,
            r#","read":{is_read},"ts":{},"room_id":"#,
            event.origin_server_ts
        );
        write_text(out, room.id.as_str());
        out.extend_from_slice(br#","event":"#);
        let device = Some(&*self.request.device);
        let events = std::slice::from_ref(event);
        self.parts
            .history
            .write_events_alone(out, self.db, &mut room.viewer, device, events, None)
            .await?;
        out.push(b'}');
        Ok(())
    }
}

/// Every stay of the user that has something up to a position.
async fn walks(db: &Snapshot, user: UserNumber, end: Position) -> Result<Vec<Walk>, RoomError> {
    let mut walks = Vec::new();
    let mut rows = USER_ROOMS.under(user);
    loop {
        let page = db.page(rows, ROOMS).await?;
        for ((_, room), row) in &page {
            let stay = stay(db, user, *room, &row.value, row.position).await?;
            if let Some(mut stay) = stay {
                stay.through = stay.through.min(end);
                let entries = VecDeque::new();
                walks.push(Walk { stay, entries });
            }
        }
        match page.last() {
            Some(((_, last), _)) if page.len() == ROOMS => {
                rows = USER_ROOMS.under(user).after((user, *last));
            }
            _ => return Ok(walks),
        }
    }
}

/// What of a room a user may be notified of: what came since they joined, or between their join and their leave, or the invite.
async fn stay(
    db: &Snapshot,
    user: UserNumber,
    room: RoomNumber,
    row: &UserRoom,
    since: Position,
) -> Result<Option<Stay>, RoomError> {
    let stay = |after, through| {
        Some(Stay {
            room,
            after,
            through,
        })
    };
    match row.membership {
        Membership::Join => Ok(stay(since, Position::MAX)),
        Membership::Invite => Ok(stay(since.previous(), since)),
        Membership::Leave | Membership::Ban if !row.forgotten => {
            let history = MEMBER_HISTORY
                .under((room, user))
                .before((room, user, since));
            let before = db.first(history.reversed()).await?;
            let joined = before.filter(|(_, change)| change.membership == Membership::Join);
            Ok(joined.and_then(|((_, _, joined), _)| stay(joined, since)))
        }
        Membership::Leave | Membership::Ban | Membership::Knock => Ok(None),
    }
}
