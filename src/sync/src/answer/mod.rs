//! Builds one answer of `/sync` from one snapshot, as JSON, straight into one vector.

mod account_data;
mod devices;
mod ephemeral;
mod invited;
mod joined;
mod left;
mod presence;
mod state;
mod summary;
mod timeline;

use std::{collections::HashSet, sync::Arc};

use database::{Position, Read, Snapshot, Stamp};
use rooms_history::SyncToken;
use rooms_store::{
    Membership,
    tables::{RECEIPT_LOG, ROOM_LOG},
};
use ruma::OwnedUserId;
use tokio::sync::OnceCell;

use ::devices::DeviceState;

pub(crate) use self::devices::received;
use self::{account_data::AccountData, devices::DeviceNews, presence::PresenceNews};
use crate::{
    json::Json,
    notifier::{Changed, Wake},
    own_rooms::OwnRoom,
    request::{SyncError, SyncRequest},
    sync::Parts,
};

/// What one snapshot has to say to a client.
pub(crate) struct Answer {
    pub(crate) json: Vec<u8>,
    /// Nothing but the next token: a client may wait for more.
    pub(crate) is_empty: bool,
    /// The token that comes with it.
    pub(crate) next: SyncToken,
    /// What was seen; to wait is to wait for more than this.
    pub(crate) seen: Wake,
    /// What the device was told of itself.
    pub(crate) device: Arc<DeviceState>,
}

/// What every section looks at.
struct Context<'a> {
    parts: &'a Parts,
    request: &'a SyncRequest,
    db: &'a Snapshot,
    since: Option<SyncToken>,
    /// Whose messages and invites the user does not want.
    ignored: Arc<HashSet<OwnedUserId>>,
    account_data: AccountData,
    /// The counter of who types at the time of the snapshot.
    typing: u64,
    online: OnlineCounts,
    /// Whose unread counts are told; made for the first room that is told.
    reader: OnceCell<push::Reader>,
}

/// Of which rooms the numbers of online members are told.
#[derive(Clone, Copy, Debug)]
enum OnlineCounts {
    /// The client did not ask.
    None,
    All,
    ChangedAfter(u64),
}

/// A room of the user, and what is known of it before anything of it is read.
struct Candidate<'a> {
    room: &'a OwnRoom,
    /// Its log or its receipts have something new.
    has_news: bool,
}

impl Context<'_> {
    fn since_stamp(&self) -> Option<Stamp> {
        self.since.map(|token| token.stamp)
    }

    /// Whether the membership became what it is after the token. Always, in an initial sync.
    fn is_new(&self, room: &OwnRoom) -> bool {
        self.since.is_none_or(|token| room.since.0 > token.stamp)
    }

    async fn reader(&self) -> Result<&push::Reader, SyncError> {
        let Self {
            parts, request, db, ..
        } = self;
        let is_unchanged = |stamp| parts.notifier.user_changed(request.user, stamp) == Changed::No;
        let make = async || {
            let (user_id, ignored) = (request.user_id.clone(), self.ignored.clone());
            parts
                .push
                .reader(db, request.user, user_id, ignored, is_unchanged)
                .await
        };
        Ok(self.reader.get_or_try_init(make).await?)
    }

    /// How many members of a room are online, if that is to be told.
    fn online_in(&self, room: &OwnRoom, is_whole: bool) -> Option<u32> {
        let since = match self.online {
            OnlineCounts::None => return None,
            OnlineCounts::ChangedAfter(since) if !is_whole => Some(since),
            OnlineCounts::ChangedAfter(_) | OnlineCounts::All => None,
        };
        self.parts.presence.online_since(room.number, since)
    }

    /// Whether who types changed after the token, in a room in which that happened at `changed_at`.
    fn is_typing_new(&self, changed_at: u64) -> bool {
        match self.since {
            Some(token) if token.boot == self.parts.typing.boot_id() => changed_at > token.counter,
            Some(_) | None => changed_at > 0,
        }
    }
}

/// Builds the answer to a request, from `since`, which may be later than what was asked: what lies between was nothing. `told`
/// is what the device knows of its keys, if this request has looked before.
pub(crate) async fn build(
    parts: &Parts,
    request: &SyncRequest,
    since: Option<SyncToken>,
    told: Option<&DeviceState>,
) -> Result<Answer, SyncError> {
    let typing = &parts.typing;
    let (boot, counter) = (typing.boot_id(), typing.counter());
    let of_this_run = since.filter(|token| token.boot == boot);
    let db = parts.notifier.snapshot().await?;
    let own = parts
        .own_rooms
        .get(&parts.rooms, &parts.notifier, &db, request.user)
        .await?;
    let device = DeviceNews::read(parts, request, &db, &own, since).await?;
    let mut next = SyncToken {
        stamp: db.stamp(),
        boot,
        counter,
        presence: 0,
        online: request.online,
        to_device: device.told_until(),
    };
    let context = Context {
        parts,
        request,
        db: &db,
        since,
        ignored: parts.users.ignored(&db, request.user).await?,
        account_data: AccountData::read(parts, &db, request, since).await?,
        typing: counter,
        online: match of_this_run.filter(|token| token.online) {
            _ if !request.online => OnlineCounts::None,
            Some(token) => OnlineCounts::ChangedAfter(token.presence),
            None => OnlineCounts::All,
        },
        reader: OnceCell::new(),
    };
    // Before the rooms: how many are online in them is told as of this change, or a later one.
    let presence = PresenceNews::read(&context, &own, of_this_run).await?;
    next.presence = presence.next;
    let candidates = candidates(&context, &own.rooms).await?;
    let mut json = Json::with_capacity(if since.is_some() { 1024 } else { 16 * 1024 });
    json.open_object();
    json.key("next_batch");
    json.text(&next.to_string());
    let start = json.mark();
    context
        .account_data
        .write_global(&mut json, &request.filter.account_data);
    presence.write(&mut json);
    write_rooms(&context, &mut json, &candidates).await?;
    device.write(&mut json);
    let has_other_keys = told.is_some_and(|told| device.has_other_keys(told));
    let is_empty = json.is_at(start) && !has_other_keys;
    device.write_keys(&mut json);
    json.close_object();
    let seen = Wake {
        stamp: next.stamp,
        typing: counter,
        presence: if presence.is_wanted {
            next.presence
        } else {
            u64::MAX
        },
        online: if request.online {
            next.presence
        } else {
            u64::MAX
        },
    };
    Ok(Answer {
        json: json.into_bytes(),
        is_empty,
        next,
        seen,
        device: device.state,
    })
}

/// The rooms that may have something to tell. Of quiet rooms nothing is read.
async fn candidates<'a>(
    context: &Context<'_>,
    rooms: &'a [OwnRoom],
) -> Result<Vec<Candidate<'a>>, SyncError> {
    let Some(since) = context.since else {
        return Ok(rooms
            .iter()
            .map(|room| Candidate {
                room,
                has_news: true,
            })
            .collect());
    };
    let notifier = &context.parts.notifier;
    let changed = notifier.rooms_changed(since.stamp, rooms.iter().map(|room| room.number));
    let typing = &context.parts.typing;
    let may_type = context.is_typing_new(context.typing);
    let mut candidates = Vec::new();
    for (room, changed) in rooms.iter().zip(changed) {
        let is_joined = room.row.membership == Membership::Join;
        let has_news = match changed {
            Changed::Yes => true,
            Changed::No => false,
            Changed::Unknown => is_joined && changed_on_disk(context, room, since.stamp).await?,
        };
        let has_more = context.is_new(room)
            || context.request.full_state
            || context.account_data.speaks_of(room.number)
            || (may_type && context.is_typing_new(typing.changed_at(room.number)))
            || (is_joined && context.online_in(room, false).is_some());
        if has_more || (is_joined && has_news) {
            candidates.push(Candidate { room, has_news });
        }
    }
    Ok(candidates)
}

/// Asks the disk when a room last told something, and remembers it.
async fn changed_on_disk(
    context: &Context<'_>,
    room: &OwnRoom,
    since: Stamp,
) -> Result<bool, SyncError> {
    let event = context
        .db
        .first(ROOM_LOG.under(room.number).reversed())
        .await?;
    let receipt = context
        .db
        .first(RECEIPT_LOG.under(room.number).reversed())
        .await?;
    let event = event.map(|((_, Position(stamp, _)), _)| stamp);
    let receipt = receipt.map(|((_, Position(stamp, _)), _)| stamp);
    let last = event.max(receipt).unwrap_or_default();
    context.parts.notifier.room_changed_at(room.number, last);
    Ok(last > since)
}

/// The section `rooms`, with those of its parts that are not empty.
async fn write_rooms(
    context: &Context<'_>,
    json: &mut Json,
    candidates: &[Candidate<'_>],
) -> Result<(), SyncError> {
    let whole = json.mark();
    json.key("rooms");
    json.open_object();
    let inside = json.mark();
    for section in ["join", "invite", "knock", "leave"] {
        let mark = json.mark();
        json.key(section);
        json.open_object();
        let first = json.mark();
        for candidate in candidates {
            let room = candidate.room;
            if section_of(room.row.membership) != section
                || !context.request.filter.allows_room(&room.id)
            {
                continue;
            }
            write_room(context, json, candidate).await?;
        }
        if json.is_at(first) {
            json.rewind(mark);
        } else {
            json.close_object();
        }
    }
    if json.is_at(inside) {
        json.rewind(whole);
    } else {
        json.close_object();
    }
    Ok(())
}

async fn write_room(
    context: &Context<'_>,
    json: &mut Json,
    candidate: &Candidate<'_>,
) -> Result<(), SyncError> {
    let room = candidate.room;
    match room.row.membership {
        Membership::Join => joined::write(context, json, candidate).await,
        Membership::Invite => invited::write(context, json, room, "invite_state").await,
        Membership::Knock => invited::write(context, json, room, "knock_state").await,
        Membership::Leave | Membership::Ban => left::write(context, json, room).await,
    }
}

fn section_of(membership: Membership) -> &'static str {
    match membership {
        Membership::Join => "join",
        Membership::Invite => "invite",
        Membership::Knock => "knock",
        Membership::Leave | Membership::Ban => "leave",
    }
}
